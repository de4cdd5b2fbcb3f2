export interface BackoffOptions {
  /** Milliseconds before the first retry. */
  baseMs?: number
  /** Longest delay, milliseconds. */
  maxMs?: number
  random?: () => number
}

/** Delay before retry `failures` (from 1): doubled each time up to the cap, then spread over its upper half. */
export function backoffMs(
  failures: number,
  { baseMs = 50, maxMs = 30_000, random = Math.random }: BackoffOptions = {},
) {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return full / 2 + (full / 2) * random()
}

/**
 * A queue of keys. A key waits once however often it is added; it is never with two workers at a time; what is added
 * while a worker has it comes again when that worker is done.
 */
export class WorkQueue {
  readonly #waiting = new Set<string>()
  readonly #working = new Set<string>()
  readonly #again = new Set<string>()
  readonly #timers = new Map<string, { at: number; timer: NodeJS.Timeout }>()
  readonly #failures = new Map<string, number>()
  readonly #takers: ((key: string | undefined) => void)[] = []
  readonly #backoff: BackoffOptions
  #closed = false

  constructor(backoff: BackoffOptions = {}) {
    this.#backoff = backoff
  }

  /** Keys that wait now, without those that are due later. */
  get length(): number {
    return this.#waiting.size
  }

  add(key: string): void {
    if (this.#closed) return
    if (this.#working.has(key)) {
      this.#again.add(key)
      return
    }
    const taker = this.#waiting.has(key) ? undefined : this.#takers.shift()
    if (!taker) {
      this.#waiting.add(key)
      return
    }
    this.#working.add(key)
    taker(key)
  }

  /** Adds after a delay; of several delays for one key the shortest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return
    if (ms <= 0) {
      this.add(key)
      return
    }
    const at = performance.now() + ms
    const pending = this.#timers.get(key)
    if (pending && pending.at <= at) return
    clearTimeout(pending?.timer)
    const fire = () => {
      this.#timers.delete(key)
      this.add(key)
    }
    // setTimeout counts in 31 bits; a later time comes round again and asks anew.
    this.#timers.set(key, { at, timer: setTimeout(fire, Math.min(ms, 2 ** 31 - 1)) })
  }

  /** Adds after a delay that grows with every call until `forget`. */
  retry(key: string): void {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    this.addAfter(key, backoffMs(failures, this.#backoff))
  }

  /** Ends the growth of a key's delay. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  /** The next key, which is the caller's until `done`; undefined once closed. */
  async take(): Promise<string | undefined> {
    if (this.#closed) return undefined
    const [key] = this.#waiting
    if (key === undefined) return await new Promise((resolve) => this.#takers.push(resolve))
    this.#waiting.delete(key)
    this.#working.add(key)
    return key
  }

  done(key: string): void {
    this.#working.delete(key)
    if (this.#again.delete(key)) this.add(key)
  }

  /** Lets every taker go and forgets what waits. */
  close(): void {
    this.#closed = true
    for (const { timer } of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    this.#waiting.clear()
    for (const taker of this.#takers.splice(0)) taker(undefined)
  }
}
