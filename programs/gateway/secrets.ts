import { ClawError } from '#core/errors'

/** Reads one Secret by name: its data, decoded; undefined where there is none. */
export type ReadSecret = (namespace: string, name: string) => Promise<Record<string, string> | undefined>

/** How long a Secret is used before it is read again: a changed key is in force after this. */
const keepMs = 10_000
const maxKept = 1_000

/**
 * The Secrets of providers, each kept for ten seconds, so that a busy run does not ask for its own at every step.
 * Failures are not kept. What is inside never reaches an error or a log.
 */
export class ProviderSecrets {
  readonly #read: ReadSecret
  readonly #now: () => number
  readonly #kept = new Map<string, { until: number; data: Promise<Record<string, string>> }>()

  constructor(read: ReadSecret, now: () => number = Date.now) {
    this.#read = read
    this.#now = now
  }

  /** Throws `forbidden` where there is no such Secret or it may not be read, `unavailable` where nobody can tell. */
  get(namespace: string, name: string): Promise<Record<string, string>> {
    const key = `${namespace}/${name}`
    const kept = this.#kept.get(key)
    if (kept && kept.until > this.#now()) return kept.data
    const data = this.#fetch(namespace, name)
    this.#kept.delete(key)
    this.#kept.set(key, { until: this.#now() + keepMs, data })
    data.catch(() => {
      if (this.#kept.get(key)?.data === data) this.#kept.delete(key)
    })
    const oldest = this.#kept.keys().next().value
    if (this.#kept.size > maxKept && oldest !== undefined) this.#kept.delete(oldest)
    return data
  }

  async #fetch(namespace: string, name: string): Promise<Record<string, string>> {
    let data: Record<string, string> | undefined
    try {
      data = await this.#read(namespace, name)
    } catch (cause) {
      if (cause instanceof ClawError && !cause.retryable) {
        throw new ClawError('forbidden', `the Secret ${name} may not be read by the gateway`, { cause })
      }
      throw new ClawError('unavailable', `the Secret ${name} cannot be read now`, { cause })
    }
    if (!data) throw new ClawError('forbidden', `the Secret ${name} does not exist in namespace ${namespace}`)
    return data
  }
}
