import { type Logger as PinoLogger, pino } from 'pino'

/** Structured logger. Call as `log.info({ run, namespace }, 'outcome recorded')`. */
export type Logger = PinoLogger

/** A logger for one program, to standard error; `LOG_LEVEL` sets the level (default info). */
export function createLogger(program: string): Logger {
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
    pino.destination({ dest: 2, sync: true }),
  )
}
