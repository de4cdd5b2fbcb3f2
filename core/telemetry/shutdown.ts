import type { Logger } from './logger.ts'

/** What a program runs when it is told to stop; it gets `graceMs` before the process exits regardless. */
export type Shutdown = () => Promise<void>

/**
 * Returns a signal that aborts on SIGTERM or SIGINT, then runs `close` and exits: 0 when it ended in time, 1 when it
 * failed or took longer than `graceMs`.
 */
export function onShutdown(log: Logger, close: Shutdown, graceMs = 8_000): AbortSignal {
  const controller = new AbortController()
  const stop = (signal: string) => {
    if (controller.signal.aborted) return
    log.info({ signal }, 'stopping')
    controller.abort()
    setTimeout(() => process.exit(1), graceMs).unref()
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'stopping failed')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
  return controller.signal
}
