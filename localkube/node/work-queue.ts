/** Runs one reconcile a key at a time, again when the key was named meanwhile, and later with back-off when it failed. */
import type { Log } from '#localkube/api'

const firstRetryMs = 50
const longestRetryMs = 30_000

export class WorkQueue {
  readonly #reconcile: (key: string) => Promise<void>
  readonly #signal: AbortSignal
  readonly #log: Log
  readonly #running = new Map<string, Promise<void>>()
  readonly #again = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #timers = new Map<string, { at: number; timer: NodeJS.Timeout }>()

  constructor(reconcile: (key: string) => Promise<void>, signal: AbortSignal, log: Log) {
    this.#reconcile = reconcile
    this.#signal = signal
    this.#log = log
    signal.addEventListener('abort', () => {
      for (const { timer } of this.#timers.values()) clearTimeout(timer)
    })
  }

  add(key: string): void {
    if (this.#signal.aborted) return
    if (this.#running.has(key)) this.#again.add(key)
    else this.#running.set(key, this.#run(key))
  }

  /** Adds the key at a time (milliseconds since the epoch); the earliest wish wins. */
  addAt(key: string, at: number): void {
    if (this.#signal.aborted) return
    const waiting = this.#timers.get(key)
    if (waiting && waiting.at <= at) return
    clearTimeout(waiting?.timer)
    const fire = () => {
      this.#timers.delete(key)
      if (at > Date.now()) this.addAt(key, at)
      else this.add(key)
    }
    // Longer delays than a timer can hold are waited out in pieces.
    const timer = setTimeout(fire, Math.min(Math.max(0, at - Date.now()), 2 ** 31 - 1))
    this.#timers.set(key, { at, timer })
  }

  /** Resolves when nothing runs any more; call it after the signal. */
  async idle(): Promise<void> {
    await Promise.all(this.#running.values())
  }

  async #run(key: string): Promise<void> {
    try {
      // Changes of one turn of the event loop are one reconcile.
      await Promise.resolve()
      await this.#reconcile(key)
      this.#failures.delete(key)
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1
      this.#failures.set(key, failures)
      if (!this.#signal.aborted) {
        this.#log('warn', 'reconcile failed, will try again', { key, failures, error: String(error) })
        this.addAt(key, Date.now() + Math.min(firstRetryMs * 2 ** (failures - 1), longestRetryMs))
      }
    } finally {
      this.#running.delete(key)
      if (this.#again.delete(key)) this.add(key)
    }
  }
}
