import { counter, histogram } from '#core/telemetry'

export const admissionReviews = counter(
  'k8sclaw_admission_reviews_total',
  'Reviews by what became of them: allowed, or the reason of the refusal, Invalid, Forbidden, ServiceUnavailable or InternalError.',
  ['judge', 'resource', 'operation', 'result'],
)
export const admissionSeconds = histogram('k8sclaw_admission_review_seconds', 'How long a review took.', {
  labels: ['judge'],
})

const operations = new Set(['CREATE', 'UPDATE', 'DELETE', 'CONNECT'])

/** What the caller says it is, if there is such a thing: whoever reaches the webhook may call it. */
export function operationOf(said: string): string {
  return operations.has(said) ? said : 'other'
}
