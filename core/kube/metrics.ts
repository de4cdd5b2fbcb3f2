import { counter, gauge, histogram } from '#core/telemetry'

export const queueDepth = gauge('k8sclaw_queue_depth', 'Keys that wait for a worker.', ['queue'])
export const queueRetries = counter(
  'k8sclaw_queue_retries_total',
  'Keys that came back after a failure or a conflict, with a growing delay.',
  ['queue'],
)
export const reconcileSeconds = histogram(
  'k8sclaw_reconcile_seconds',
  'How long a reconcile took, by how it ended: done, conflict, failed (tried again) or stopped (waits for an event).',
  { labels: ['queue', 'result'] },
)
export const kubernetesRequests = counter(
  'k8sclaw_kubernetes_requests_total',
  'Requests to the Kubernetes API that are no watch, by the status of the answer; 0 where none came.',
  ['method', 'status'],
)
export const kubernetesSeconds = histogram(
  'k8sclaw_kubernetes_request_seconds',
  'How long the Kubernetes API took to begin its answer.',
  { labels: ['method'] },
)
