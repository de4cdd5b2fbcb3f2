/** A bucket of tokens for each key, refilled with time; the fullest buckets are forgotten first. */
export class RateLimit {
  readonly #perSecond: number
  readonly #burst: number
  readonly #buckets = new Map<string, { tokens: number; at: number }>()
  readonly #maxKeys: number

  constructor({ perSecond, burst, maxKeys = 10_000 }: { perSecond: number; burst: number; maxKeys?: number }) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#maxKeys = maxKeys
  }

  /** Takes a token of this key; false where there is none. `now` is in milliseconds and never goes back. */
  take(key: string, now = performance.now()): boolean {
    const bucket = this.#buckets.get(key) ?? { tokens: this.#burst, at: now }
    const tokens = Math.min(this.#burst, bucket.tokens + ((now - bucket.at) / 1000) * this.#perSecond)
    // Moved to the end, so that the map's order is that of the last use.
    this.#buckets.delete(key)
    this.#buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now })
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size > this.#maxKeys && oldest !== undefined) this.#buckets.delete(oldest)
    return tokens >= 1
  }
}
