import { type Logger as PinoLogger, pino } from 'pino'

/** Structured logger. Call as `log.info({ run, namespace }, 'outcome recorded')`. */
export type Logger = PinoLogger

/** Kept of what cannot be written now, characters; what goes beyond it is dropped. */
const heldBack = 1024 * 1024

/** A logger for one program, to standard error; `LOG_LEVEL` sets the level (default info). */
export function createLogger(program: string): Logger {
  const destination = pino.destination({ dest: 2, sync: true, maxLength: heldBack })
  // On a disk that is full, say. The program goes on, and so does its log as soon as there is room again.
  destination.on('error', () => {})
  return pino(
    {
      level: process.env.LOG_LEVEL ?? 'info',
      base: { program },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: [
          'token',
          'apiKey',
          'authorization',
          'seed',
          'password',
          '*.token',
          '*.apiKey',
          '*.authorization',
          '*.seed',
        ],
        censor: '[redacted]',
      },
    },
    destination,
  )
}
