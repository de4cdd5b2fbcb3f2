import { type PricedName, pricedName } from '#core/models'
import { counter, gauge, histogram } from '#core/telemetry'

export const modelCalls = counter(
  'k8sclaw_model_calls_total',
  'Model calls that were let through, by the status that the run was answered with.',
  ['provider', 'model', 'status'],
)
export const modelRefusals = counter(
  'k8sclaw_model_refusals_total',
  'Requests of runs that were refused before any provider was asked, by the code of the refusal.',
  ['code'],
)
export const modelTokens = counter('k8sclaw_model_tokens_total', 'Tokens as the providers counted them.', [
  'provider',
  'model',
  'direction',
])
export const modelUnmetered = counter(
  'k8sclaw_model_unmetered_total',
  'Answers with a status of 2xx of which the provider did not say what they used.',
  ['provider', 'model'],
)
export const modelSeconds = histogram(
  'k8sclaw_model_call_seconds',
  'How long a model call took, from the request of the run to the end of the answer.',
  { labels: ['provider', 'model'], buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200] },
)
export const callsUnderWay = gauge('k8sclaw_model_calls_under_way', 'Model calls of all runs at this moment.')
export const outboxDepth = gauge('k8sclaw_usage_outbox_depth', 'Metered calls that wait to be told to the bus.')
export const usageLost = counter(
  'k8sclaw_usage_unpublished_total',
  'Metered calls that were written to the log because the bus did not take them.',
)

/**
 * Of a call only what is the same for every tenant: provider and model where the price table of this release has them,
 * else `other`. Both are words of an instance, of which there is no end, and which may be somebody's secret.
 */
export function labelsOf(provider: string, model: string): PricedName {
  return pricedName(provider, model) ?? { provider: 'other', model: 'other' }
}

/** A status that means something by itself; of the others their hundred, since a provider may answer anything. */
export function statusLabel(status: number): string {
  return told.has(status) ? String(status) : `${Math.floor(status / 100)}xx`
}

const told = new Set([200, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529])
