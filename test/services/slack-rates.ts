/** How often Slack may be called: by method, by channel for words, and less where a test wants that. */
import { TooMany } from './slack-shapes.ts'

/** Calls a minute that a method may be called, after as many at once. https://docs.slack.dev/apis/web-api/rate-limits */
const tiers: Record<string, number> = {
  'chat.update': 50,
  'chat.startStream': 20,
  'chat.appendStream': 100,
  'chat.stopStream': 20,
  'files.completeUploadExternal': 100,
  'conversations.history': 50,
  'conversations.replies': 50,
}

/** A few milliseconds are for the clocks. */
const clockMs = 5
/** Words in a channel: one a second, in bursts of a few. */
const wordsAtOnce = 4

export class Rates {
  /** As `retry-after` says it, seconds. */
  readonly retryAfter = 1
  readonly #budgets = new Map<string, { left: number; at: number }>()
  readonly #holds = new Map<string, number>()
  #floods = 0
  #impatient = 0

  /** Calls that came before the time that a refusal had named. */
  get impatient(): number {
    return this.#impatient
  }

  /** The next calls that say something are refused for now. */
  flood(calls: number): void {
    this.#floods = calls
  }

  /** Throws `TooMany`. */
  spend(method: string, channel: string): void {
    const key = `${method}/${channel}`
    this.heed(key)
    const tier = tiers[method]
    const [perMs, burst] = tier === undefined ? [1 / 1000, wordsAtOnce] : [tier / 60_000, tier]
    const name = tier === undefined ? `words/${channel}` : method
    const budget = this.#budgets.get(name) ?? { left: burst, at: Date.now() }
    this.#budgets.set(name, budget)
    budget.left = Math.min(burst, budget.left + (Date.now() - budget.at) * perMs)
    budget.at = Date.now()
    if (this.#floods > 0 || budget.left < 1) {
      if (this.#floods > 0) this.#floods--
      this.refuse(key)
    }
    budget.left--
  }

  /** Counts who did not wait for as long as was said. */
  heed(key: string): void {
    if (Date.now() < (this.#holds.get(key) ?? 0)) this.#impatient++
  }

  refuse(key: string): never {
    this.#holds.set(key, Date.now() + this.retryAfter * 1000 - clockMs)
    throw new TooMany()
  }
}
