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

export interface EndingOptions {
  timeoutSeconds: number
  /** When the run's time is over, milliseconds since 1970. */
  deadline: number
  /** Hands over a result that is there and was not seen yet. */
  lastLook: () => void
}

/**
 * Decides how a run ends, once: by the first of a result, the end of its time, and a cancellation whose grace has
 * passed. Within the grace a result ends the waiting; it is kept, and the run is cancelled none the less.
 *
 * What a busy bridge hears of first tells nothing, so results are judged by when their files were written: one of before
 * the deadline, and of before the agent was told of a cancel, is what the run came to. An agent may have a clock of its own
 * and give up when its time is over, or end with an error because it was told to: that is kept, and the run is TimedOut, or
 * Cancelled, none the less.
 */
export class Ending {
  readonly #decision = Promise.withResolvers<Ended>()
  readonly #options: EndingOptions
  readonly #timer: NodeJS.Timeout
  #over = false
  #cancelled: { reason: string; toldAt: number; timer: NodeJS.Timeout } | undefined

  constructor(options: EndingOptions) {
    this.#options = options
    // setTimeout takes 2^31-1 ms at most, which is longer than a run may be.
    const leftMs = Math.min(Math.max(options.deadline - Date.now(), 0), 2 ** 31 - 1)
    this.#timer = setTimeout(() => this.#expire(), leftMs)
  }

  get decided(): Promise<Ended> {
    return this.#decision.promise
  }

  /** `writtenAt`: milliseconds since 1970, by the file. */
  result(result: ResultFile, writtenAt: number): void {
    const ended = endedBy(result)
    const { deadline, timeoutSeconds } = this.#options
    const toldBefore = this.#cancelled && writtenAt >= this.#cancelled.toldAt ? this.#cancelled : undefined
    if (toldBefore) this.#decide({ ...ended, ...cancelled(toldBefore.reason) })
    else this.#decide(writtenAt < deadline ? ended : { ...ended, ...expired(timeoutSeconds) })
  }

  /** The run cannot be what it was resolved to be. */
  refuse(reason: string, error: string): void {
    this.#decide({ phase: 'Failed', reason, error })
  }

  /** `toldAt`: when the agent was told, milliseconds since 1970, by the file. */
  cancel(reason: string, graceSeconds: number, toldAt: number): void {
    if (this.#cancelled || this.#over) return
    this.#cancelled = { reason, toldAt, timer: setTimeout(() => this.#expire(), graceSeconds * 1_000) }
  }

  close(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#cancelled?.timer)
  }

  /** The run's time is over, or the grace of its cancellation. */
  #expire(): void {
    this.#options.lastLook()
    if (this.#over) return
    this.#decide(this.#cancelled ? cancelled(this.#cancelled.reason) : expired(this.#options.timeoutSeconds))
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
