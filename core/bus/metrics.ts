import { counter, gauge, histogram } from '#core/telemetry'

export const publishSeconds = histogram(
  'k8sclaw_bus_publish_seconds',
  'How long until a message was stored, all attempts together, by what it is and what came of it: stored, duplicate, or the code of the refusal.',
  { labels: ['kind', 'result'] },
)
export const busConnected = gauge('k8sclaw_bus_connected', 'Whether there is a connection to the bus: 1 or 0.')
export const busReconnects = counter(
  'k8sclaw_bus_reconnects_total',
  'Connections to the bus that were lost and restored.',
)

/** What of ours a subject carries; the rest of it are names of tenants. */
const kinds = new Set(['journal', 'ask', 'outcome', 'in', 'live', 'usage', 'received', 'send', 'health', 'file'])

export function kindOf(subject: string): string {
  const [, , , , , kind = ''] = subject.split('.')
  return kinds.has(kind) ? kind : 'other'
}
