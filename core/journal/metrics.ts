import { counter, gauge } from '#core/telemetry'

export const feedsOpen = gauge(
  'k8sclaw_stream_feeds',
  'Runs that somebody follows at this replica, each read from the bus once for all who do.',
)
export const readersApart = counter(
  'k8sclaw_stream_apart_total',
  'Times that a follower was further back than what is held in memory, and read from the bus by itself until it was not.',
)
