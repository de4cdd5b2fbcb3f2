/**
 * Keys waiting to be worked on, each at most once, one after the other. Work that fails comes back after a pause that
 * doubles up to a limit, so that a lasting failure costs little and is never forgotten.
 */
export class WorkQueue {
  readonly #waiting = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #work: (key: string) => Promise<void>
  readonly #failed: (key: string, error: unknown) => void
  #running: Promise<void> | undefined
  #closed = false

  constructor(work: (key: string) => Promise<void>, failed: (key: string, error: unknown) => void) {
    this.#work = work
    this.#failed = failed
  }

  add(key: string): void {
    if (this.#closed) return
    this.#waiting.add(key)
    this.#running ??= this.#run()
  }

  /** Resolves when the work at hand is done; nothing new begins. */
  async close(): Promise<void> {
    this.#closed = true
    this.#waiting.clear()
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#running
  }

  async #run(): Promise<void> {
    // Not before the changes at hand are all delivered.
    await Promise.resolve()
    for (const key of this.#waiting) {
      this.#waiting.delete(key)
      try {
        await this.#work(key)
        this.#failures.delete(key)
      } catch (error) {
        this.#retry(key, error)
      }
    }
    this.#running = undefined
  }

  #retry(key: string, error: unknown): void {
    if (this.#closed) return
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    this.#failed(key, error)
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        this.add(key)
      },
      Math.min(50 * 2 ** failures, 30_000),
    )
    this.#timers.add(timer)
  }
}
