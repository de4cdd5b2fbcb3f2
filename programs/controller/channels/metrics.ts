import { counter } from '#core/telemetry'

export const messagesTaken = counter(
  'k8sclaw_channel_messages_total',
  'Messages of channels that the router took, by what it did with them: turn, command, pair, refuse, ignore; known, where a run holds it already; no channel, where there is none any more.',
  ['step'],
)
