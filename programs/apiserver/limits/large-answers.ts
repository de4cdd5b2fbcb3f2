import { ClawError } from '#core/errors'
import type { Reading } from '#core/kube'
import { ThrottledError } from '../problem.ts'

/** Of one replica: what it holds of the answers of Kubernetes while it hands them on. */
export interface AnswerLimits {
  /** An answer of this many bytes is read at any time. */
  smallBytes: number
  /** A longer one is not read to its end; a page is then asked for with fewer objects. */
  mostBytes: number
  /** Answers above `smallBytes` that are read, parsed and written at once; the others wait. */
  largeAtOnce: number
  /** The same of each user, so that one leaves room for others. */
  largeOfEach: number
  /** How long one waits for its turn. */
  turnWithinMs: number
  /** How long a turn lasts: whoever has not taken the answer by then is cut off. */
  turnMs: number
}

/** Written out they take several times their bytes, within what a pod of the API server may have (config/manager). */
export const answerLimits: AnswerLimits = {
  smallBytes: 64 * 1024,
  mostBytes: 4 * 1024 * 1024,
  largeAtOnce: 4,
  largeOfEach: 2,
  turnWithinMs: 10_000,
  turnMs: 30_000,
}

/** Of the response to a caller, whether it is over: a ServerResponse. */
export interface Responding {
  readonly destroyed: boolean
  destroy(): unknown
  once(event: 'close', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

interface Waiting {
  user: string
  begin: () => void
}

/**
 * Bounds the memory of what callers read: an answer of Kubernetes that turns out to be long is read on when it is its
 * turn, and its turn ends when the caller has taken what became of it.
 */
export class LargeAnswers {
  readonly #limits: AnswerLimits
  readonly #held = new Map<string, number>()
  #count = 0
  /** In the order in which they came. */
  #waiting: Waiting[] = []

  constructor(limits: AnswerLimits) {
    this.#limits = limits
  }

  /** For the answers that one request reads. It throws `too_large`, and `too_many` where its turn does not come. */
  readingFor(user: string, response: Responding): Reading {
    const { smallBytes, mostBytes } = this.#limits
    let turn: Promise<void> | undefined
    return (bytes) => {
      if (bytes > mostBytes) throw new ClawError('too_large', `an answer is longer than ${mostBytes} bytes`)
      if (bytes <= smallBytes) return undefined
      turn ??= this.#turn(user, response)
      return turn
    }
  }

  async #turn(user: string, response: Responding): Promise<void> {
    const { turnMs } = this.#limits
    if (response.destroyed) throw left()
    if (this.#mayBegin(user)) this.#begin(user)
    else await this.#wait(user, response)
    const late = setTimeout(() => response.destroy(), turnMs)
    response.once('close', () => {
      clearTimeout(late)
      this.#end(user)
    })
  }

  async #wait(user: string, response: Responding): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { user, begin: resolve }
    this.#waiting.push(waiting)
    const giveUp = (why: ClawError) => {
      this.#waiting = this.#waiting.filter((one) => one !== waiting)
      reject(why)
    }
    const busy = () => giveUp(new ThrottledError('too many long answers are being read', 1_000))
    const late = setTimeout(busy, this.#limits.turnWithinMs)
    const leave = () => giveUp(left())
    response.once('close', leave)
    try {
      await promise
    } finally {
      clearTimeout(late)
      response.off('close', leave)
    }
    // It was its turn, and it left in that moment.
    if (response.destroyed) {
      this.#end(user)
      throw left()
    }
  }

  #mayBegin(user: string): boolean {
    const { largeAtOnce, largeOfEach } = this.#limits
    return this.#count < largeAtOnce && (this.#held.get(user) ?? 0) < largeOfEach
  }

  #begin(user: string): void {
    this.#count++
    this.#held.set(user, (this.#held.get(user) ?? 0) + 1)
  }

  #end(user: string): void {
    this.#count--
    const held = (this.#held.get(user) ?? 1) - 1
    if (held > 0) this.#held.set(user, held)
    else this.#held.delete(user)
    const at = this.#waiting.findIndex((one) => this.#mayBegin(one.user))
    const [next] = at < 0 ? [] : this.#waiting.splice(at, 1)
    if (!next) return
    this.#begin(next.user)
    next.begin()
  }
}

function left(): ClawError {
  return new ClawError('unavailable', 'whoever asked has left')
}
