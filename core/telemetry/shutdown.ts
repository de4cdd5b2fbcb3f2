import type { Logger } from './logger.ts'

/** What a program runs when it is told to stop; it gets `graceMs` before the process exits regardless. */
export type Shutdown = () => Promise<void>

/**
 * Returns a signal that aborts on SIGTERM or SIGINT, then runs `close` and exits: 0 when it ended in time, 1 when it
 * failed or took longer than `graceMs`. With K8SCLAW_DRAIN_SECONDS a program goes on as before for so long after SIGTERM:
 * Kubernetes tells it to stop and the others not to come any more at the same moment, and some hear it later.
 */
export function onShutdown(log: Logger, close: Shutdown, graceMs = 8_000): AbortSignal {
  const controller = new AbortController()
  let isTold = false
  const end = () => {
    if (controller.signal.aborted) return
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
  process.on('SIGTERM', () => {
    if (isTold) return
    isTold = true
    const drainMs = Number(process.env.K8SCLAW_DRAIN_SECONDS || 0) * 1000
    log.info({ signal: 'SIGTERM', drainMs }, 'stopping')
    if (drainMs > 0) setTimeout(end, drainMs)
    else end()
  })
  process.on('SIGINT', () => {
    log.info({ signal: 'SIGINT' }, 'stopping')
    end()
  })
  return controller.signal
}
