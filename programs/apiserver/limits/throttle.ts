import { createHash } from 'node:crypto'
import type { Kube } from '#core/kube'
import { usernameOf } from '../callers.ts'
import { Places } from '../places.ts'
import { ThrottledError } from '../problem.ts'
import { Buckets } from './buckets.ts'

/** Of one replica, and of each user. Streams are counted by themselves (`StreamLimits`). */
export interface RequestLimits {
  perSecond: number
  burst: number
  /** Requests that one user may have under way. */
  atOnce: number
  /** Requests that all users together may have under way. */
  atOnceOfAll: number
  /** How many tokens a second that this replica has not met lately are asked about, of everybody together. */
  strangersPerSecond: number
  strangersBurst: number
}

export const requestLimits: RequestLimits = {
  perSecond: 100,
  burst: 500,
  atOnce: 100,
  atOnceOfAll: 1_000,
  strangersPerSecond: 50,
  strangersBurst: 500,
}

/** For how long a token stands for the same user here. Nothing is allowed by this; it only says whose request counts. */
const knownMs = 60_000
const mostKnown = 10_000

export interface Admitted {
  username: string
  leave: () => void
}

/**
 * Counts the requests of each user at this replica. It asks whose a token is, and remembers that for a minute; what the
 * user may do is asked elsewhere, every time. Tokens that nobody knows share one allowance, so that guessing cannot
 * be turned into load on Kubernetes.
 */
export class Throttle {
  readonly #kube: Kube
  readonly #users: Buckets
  readonly #strangers: Buckets
  readonly #places: Places
  readonly #known = new Map<string, { username: string; until: number }>()

  constructor(kube: Kube, limits: RequestLimits) {
    this.#kube = kube
    this.#users = new Buckets(limits)
    this.#strangers = new Buckets({ perSecond: limits.strangersPerSecond, burst: limits.strangersBurst })
    this.#places = new Places(limits.atOnceOfAll, limits.atOnce, 'too many requests are under way')
  }

  /** Throws `unauthenticated`, `unavailable` where Kubernetes cannot be asked, and `too_many`. */
  async admit(token: string): Promise<Admitted> {
    const username = await this.#usernameOf(token)
    refuseAfter(this.#users.take(username), 'too many requests of one user')
    return { username, leave: this.#places.take(username) }
  }

  async #usernameOf(token: string): Promise<string> {
    const key = createHash('sha256').update(token).digest('base64')
    const now = performance.now()
    const known = this.#known.get(key)
    if (known && known.until > now) return known.username
    refuseAfter(this.#strangers.take(''), 'too many tokens that are not known')
    const username = await usernameOf(this.#kube, token)
    // The oldest goes; a Map keeps the order in which keys came.
    this.#known.delete(key)
    if (this.#known.size >= mostKnown) this.#known.delete(this.#known.keys().next().value ?? '')
    this.#known.set(key, { username, until: now + knownMs })
    return username
  }
}

function refuseAfter(waitMs: number, what: string): void {
  if (waitMs > 0) throw new ThrottledError(what, waitMs)
}
