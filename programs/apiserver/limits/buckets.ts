export interface BucketOptions {
  /** Requests a second that are served for ever. */
  perSecond: number
  /** Requests at once, after a while of silence. */
  burst: number
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
}

interface Bucket {
  left: number
  at: number
}

/** A token bucket for each name. A full one is forgotten, so what is held is bounded by who asked lately. */
export class Buckets {
  readonly #perMs: number
  readonly #burst: number
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()
  #sweepAt = 0

  constructor({ perSecond, burst, now = () => performance.now() }: BucketOptions) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#now = now
  }

  /** Takes one; answers 0, or takes nothing and answers how many milliseconds it is until there is one again. */
  take(name: string): number {
    const now = this.#now()
    this.#sweep(now)
    const left = this.#leftOf(this.#buckets.get(name), now)
    if (left < 1) return (1 - left) / this.#perMs
    this.#buckets.set(name, { left: left - 1, at: now })
    return 0
  }

  /** How many names are held. */
  get size(): number {
    return this.#buckets.size
  }

  #leftOf(bucket: Bucket | undefined, now: number): number {
    if (!bucket) return this.#burst
    return Math.min(this.#burst, bucket.left + (now - bucket.at) * this.#perMs)
  }

  /** Once in the time in which every bucket that is left alone fills. */
  #sweep(now: number): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = now + this.#burst / this.#perMs
    for (const [name, bucket] of this.#buckets) {
      if (this.#leftOf(bucket, now) >= this.#burst) this.#buckets.delete(name)
    }
  }
}
