import type { ResultFile } from '#core/ipc'
import type { Outcome } from '#core/journal'

/** How the run ended, without what the record adds. */
export type Ended = Pick<Outcome, 'phase' | 'reason' | 'result' | 'error'>

/** What a result.json means for the run. */
export function endedBy(result: ResultFile): Ended {
  if (result.status === 'success') return { phase: 'Succeeded', reason: 'Completed', result: result.response }
  return {
    phase: 'Failed',
    reason: 'AgentError',
    error: `${result.error.code}: ${result.error.message}`,
    ...(result.response === undefined ? {} : { result: result.response }),
  }
}

/**
 * Decides how a run ends, once: by the first of a result, the end of its time, and a cancellation whose grace has
 * passed. Within the grace a result ends the waiting; it is kept, and the run is cancelled none the less.
 */
export class Ending {
  readonly #decision = Promise.withResolvers<Ended>()
  readonly #deadline: NodeJS.Timeout
  #over = false
  #cancelled: { reason: string; timer: NodeJS.Timeout } | undefined

  /** `leftMs`: how much of the run's time is left. */
  constructor(leftMs: number, timeoutSeconds: number) {
    const expire = () => this.#decide(this.#cancelled ? cancelled(this.#cancelled.reason) : expired(timeoutSeconds))
    // setTimeout takes 2^31-1 ms at most, which is longer than a run may be.
    this.#deadline = setTimeout(expire, Math.min(Math.max(leftMs, 0), 2 ** 31 - 1))
  }

  get decided(): Promise<Ended> {
    return this.#decision.promise
  }

  result(result: ResultFile): void {
    const ended = endedBy(result)
    this.#decide(this.#cancelled ? { ...ended, ...cancelled(this.#cancelled.reason) } : ended)
  }

  /** The run cannot be what it was resolved to be. */
  refuse(reason: string, error: string): void {
    this.#decide({ phase: 'Failed', reason, error })
  }

  cancel(reason: string, graceSeconds: number): void {
    if (this.#cancelled || this.#over) return
    const timer = setTimeout(() => this.#decide(cancelled(reason)), graceSeconds * 1_000)
    this.#cancelled = { reason, timer }
  }

  close(): void {
    clearTimeout(this.#deadline)
    clearTimeout(this.#cancelled?.timer)
  }

  #decide(ended: Ended): void {
    this.#over = true
    this.close()
    this.#decision.resolve(ended)
  }
}

function cancelled(reason: string): Ended {
  return { phase: 'Cancelled', reason: 'Cancelled', ...(reason ? { error: reason } : {}) }
}

function expired(seconds: number): Ended {
  return { phase: 'TimedOut', reason: 'DeadlineExceeded', error: `the run took longer than ${seconds} s` }
}
