import { counter, gauge } from '#core/telemetry'

export const received = counter(
  'k8sclaw_channel_received_total',
  'Messages that the service delivered, by what became of them: stored, duplicate, refused by the platform, or malformed.',
  ['result'],
)
export const said = counter(
  'k8sclaw_channel_said_total',
  'What the channel was told to say, by its type and what became of it: said, repeated (it had been said before), or never (the service will not take it).',
  ['type', 'result'],
)
export const refusals = counter(
  'k8sclaw_channel_refusals_total',
  'Calls that the service refused or did not answer, by what it said: later, markup, message, never, token, or nothing.',
  ['refusal'],
)
export const files = counter(
  'k8sclaw_channel_files_total',
  'Files by direction (in, out) and what became of them: brought, handed, or why they were left out.',
  ['direction', 'result'],
)
export const held = gauge('k8sclaw_channel_held', 'What was taken off the bus to be said and is not done.')
export const webhookRequests = counter(
  'k8sclaw_channel_webhook_requests_total',
  'Requests to the address of the channel that its service calls, by the status they were answered with.',
  ['status'],
)
