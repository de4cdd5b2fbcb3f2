import { type ErrorCode, isClawError } from '#core/errors'
import type { Logger } from '#core/telemetry'
import { queueDepth, queueRetries, reconcileSeconds } from './metrics.ts'
import type { WorkQueue } from './queue.ts'

/** What a reconcile asks for: nothing, or to be called again after a while. */
// biome-ignore lint/suspicious/noConfusingVoidType: a reconcile that has nothing to ask returns nothing
export type ReconcileResult = { requeueAfterMs?: number | undefined } | undefined | void

export interface ControllerOptions {
  name: string
  queue: WorkQueue
  /** Level-triggered: it gets a key alone, reads what is there, and brings the world nearer to it. */
  reconcile(key: string): Promise<ReconcileResult>
  workers: number
  signal: AbortSignal
  log: Logger
}

/** Answers that stay the same until the object changes, and then an event brings the key back anyway. */
const terminal: readonly ErrorCode[] = ['invalid', 'malformed', 'too_large', 'unsupported', 'not_ours']

/**
 * Runs `reconcile` for the keys of a queue until the signal aborts, then waits for those under way. A thrown error
 * backs off and tries again, per key; a terminal one is logged and waits for the next event.
 */
export async function runController(options: ControllerOptions): Promise<void> {
  const { name, queue, signal, workers } = options
  const unwatch = queueDepth.watch({ queue: name }, () => queue.length)
  const close = () => queue.close()
  signal.addEventListener('abort', close, { once: true })
  if (signal.aborted) close()
  await Promise.all(Array.from({ length: workers }, () => work(options)))
  signal.removeEventListener('abort', close)
  unwatch()
}

async function work({ name, queue, reconcile, log }: ControllerOptions): Promise<void> {
  for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
    const ended = reconcileSeconds.time()
    const retry = (result: 'conflict' | 'failed') => {
      ended({ queue: name, result })
      queueRetries.add({ queue: name })
      queue.retry(key)
    }
    try {
      const result = await reconcile(key)
      ended({ queue: name, result: 'done' })
      queue.forget(key)
      if (result?.requeueAfterMs !== undefined) queue.addAfter(key, result.requeueAfterMs)
    } catch (error) {
      if (isClawError(error, ...terminal)) {
        log.error({ controller: name, key, err: error }, 'reconcile stopped')
        ended({ queue: name, result: 'stopped' })
        queue.forget(key)
      } else if (isClawError(error, 'conflict')) {
        // Decided on an old version; the ordinary way in which writers meet.
        log.debug({ controller: name, key }, 'reconcile was out of date')
        retry('conflict')
      } else {
        log.warn({ controller: name, key, err: error }, 'reconcile failed, backing off')
        retry('failed')
      }
    } finally {
      queue.done(key)
    }
  }
}
