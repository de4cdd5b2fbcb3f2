/**
 * How programs speak about themselves: one JSON line a log entry, a constant lower-case message with fields, and metrics
 * for Prometheus. It promises that known secret-bearing fields are redacted, and that a program which serves no metrics
 * pays nothing for them; it refuses prompt text by never offering a field for it.
 */
export { createLogger, type Logger } from './logger.ts'
export {
  type Counter,
  counter,
  definedMetrics,
  type Gauge,
  gauge,
  type Histogram,
  histogram,
  type MetricDefinition,
} from './metrics.ts'
export { type MetricsAddress, serveMetrics } from './serve-metrics.ts'
export { onShutdown, type Shutdown } from './shutdown.ts'
