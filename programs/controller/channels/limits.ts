/** At most so many are remembered; the one that was not heard of for longest is forgotten first. */
const maxRemembered = 10_000

export interface PaceLimits {
  /** Messages that may come at once. */
  burst: number
  /** Milliseconds after which one more may come. */
  everyMs: number
}

/**
 * How fast each sender writes: a bucket of tokens each. What is too fast is said once, and then only again after the
 * sender has kept to it. The clock is that of the bus: a message that comes again is judged by when it was written, so
 * what was taken once is not refused by a process that begins with full buckets.
 */
export class Pace {
  readonly #limits: PaceLimits
  readonly #senders = new Map<string, { tokens: number; at: number; told: boolean }>()

  constructor(limits: PaceLimits = { burst: 20, everyMs: 3_000 }) {
    this.#limits = limits
  }

  /** Takes a message of this sender, in the order in which the bus stored them; `at` is when. */
  take(sender: string, at: Date): 'within' | 'over' | 'told' {
    const { burst, everyMs } = this.#limits
    const last = this.#senders.get(sender) ?? { tokens: burst, at: at.getTime(), told: false }
    // A clock may be put back.
    const now = Math.max(at.getTime(), last.at)
    const tokens = Math.min(burst, last.tokens + (now - last.at) / everyMs)
    const within = tokens >= 1
    remember(this.#senders, sender, { tokens: within ? tokens - 1 : tokens, at: now, told: !within })
    return within ? 'within' : last.told ? 'told' : 'over'
  }
}

/** Sets a value as the newest, and forgets the oldest where there are too many. */
export function remember<V>(map: Map<string, V>, key: string, value: V, max = maxRemembered): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= max) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}
