import { setTimeout as sleep } from 'node:timers/promises'

interface Waiting {
  /** When it was said, as Slack writes it. */
  ts: string
  take: () => Promise<void>
  done: (taken: Promise<void>) => void
}

/**
 * Takes what comes by several ways one after the other. Slack says nothing of the order between connections or requests,
 * so what comes within a moment is taken in the order in which it was said.
 */
export class InTime {
  readonly #momentMs: number
  #waiting: Waiting[] = []
  #taking = false

  constructor(momentMs: number) {
    this.#momentMs = momentMs
  }

  /** Resolves when it is taken, and rejects with what `take` rejects. */
  async add(ts: string, take: () => Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ ts, take, done: resolve })
    if (!this.#taking) void this.#takeAll()
    await promise
  }

  async #takeAll(): Promise<void> {
    this.#taking = true
    while (this.#waiting.length > 0) {
      await sleep(this.#momentMs)
      const now = this.#waiting.toSorted((a, b) => Number(a.ts) - Number(b.ts))
      this.#waiting = []
      for (const { take, done } of now) {
        const taken = take()
        done(taken)
        await taken.catch(() => {})
      }
    }
    this.#taking = false
  }
}
