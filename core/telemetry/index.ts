/**
 * How programs speak about themselves: one JSON line a log entry, a constant lower-case message with fields. It
 * promises that known secret-bearing fields are redacted; it refuses prompt text by never offering a field for it.
 */
export { createLogger, type Logger } from './logger.ts'
export { onShutdown, type Shutdown } from './shutdown.ts'
