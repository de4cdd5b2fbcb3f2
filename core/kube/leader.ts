import { setTimeout as sleep } from 'node:timers/promises'
import { ClawError, errorMessage, isClawError } from '#core/errors'
import type { Logger } from '#core/telemetry'
import type { Kube } from './client.ts'
import { givenBack, heldBy, type Lease, type LeaseTimes, leftMs, type Sighting, sight } from './lease.ts'
import { leases } from './resources.ts'
import type { Address } from './types.ts'

export interface LeaderOptions {
  kube: Kube
  /** Where the Lease is. */
  lease: Address & { namespace: string }
  /** Of this replica alone. A process that finds its own name in the lease is the successor of one that is dead. */
  identity: string
  times?: LeaseTimes
  /** Ends the candidacy; whoever leads by then leads until its work has ended. */
  signal: AbortSignal
  log: Logger
  /** Called when somebody else is found to lead. */
  onStandby?: () => void
}

/** Those of the control plane's own programs. */
const usual: LeaseTimes = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000 }

/**
 * Waits for the lease, does `work` while it is held, and gives it back once the work has ended. `work` gets a client
 * whose writes fail from the moment at which the lease can no longer be shown to be held. When that moment comes, this
 * throws `fenced` at once and leaves the work where it is: the process has to end.
 */
export async function whileLeading(options: LeaderOptions, work: (kube: Kube) => Promise<void>): Promise<void> {
  const { kube, signal, log, onStandby, identity } = options
  const candidate = new Candidate(options)
  let standsBy = false
  while (!signal.aborted && !(await candidate.attempt())) {
    if (candidate.holder && !standsBy) {
      standsBy = true
      log.info({ holder: candidate.holder, identity }, 'standing by')
      onStandby?.()
    }
    await sleep(candidate.retryMs, undefined, { signal }).catch(() => {})
  }
  if (signal.aborted) return await candidate.giveBack()
  log.info({ identity }, 'leading')
  const done = new AbortController()
  const renewing = candidate.renew(done.signal)
  try {
    await Promise.race([work(kube.guarded(() => candidate.assertLeads())), renewing])
  } finally {
    done.abort()
  }
  await renewing
  await candidate.giveBack()
}

/** One replica's part in the election: what it saw of the lease, and until when it holds it. */
class Candidate {
  readonly #options: LeaderOptions
  readonly #times: LeaseTimes
  #seen: Sighting | undefined
  /** The lease as this replica last wrote it, as long as nothing contradicted that. */
  #own: Lease | undefined
  /** By `performance.now()`, which runs on while a process is stopped. */
  #heldUntil = Number.NEGATIVE_INFINITY

  constructor(options: LeaderOptions) {
    this.#options = options
    this.#times = options.times ?? usual
  }

  /** Who else leads, as far as is known. */
  get holder(): string | undefined {
    const holder = this.#seen?.lease.spec?.holderIdentity
    return holder === this.#options.identity ? undefined : holder
  }

  /** Spread, so that candidates that began together do not always collide. */
  get retryMs(): number {
    return this.#times.retryMs * (0.8 + 0.4 * Math.random())
  }

  assertLeads(): void {
    if (performance.now() < this.#heldUntil) return
    throw new ClawError('fenced', 'the lease could not be renewed in time; another replica may lead by now')
  }

  /** One try to take or renew the lease; false where somebody else holds it or it cannot be known. Never throws. */
  async attempt(withinMs = this.#times.renewMs): Promise<boolean> {
    const startedAt = performance.now()
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(withinMs)))
    try {
      const lease = this.#own ?? (await this.#look(signal))
      if (leftMs(this.#seen, this.#options.identity, performance.now(), this.#times) > 0) return false
      const written = await this.#write(lease, heldBy(this.#options.identity, lease, new Date(), this.#times), signal)
      this.#own = written
      this.#seen = { lease: written, atMs: performance.now() }
      // From before the request: others count from when they see it, which is later.
      this.#heldUntil = startedAt + this.#times.renewMs
      return true
    } catch (error) {
      this.#own = undefined
      // Somebody was faster, or an answer of ours was lost: the next look tells.
      const expected = isClawError(error, 'conflict', 'already_exists', 'not_found')
      this.#options.log[expected ? 'debug' : 'warn']({ why: errorMessage(error) }, 'lease not obtained')
      return false
    }
  }

  /** Renews until the signal aborts. Throws `fenced` when the lease is another's or its time has run out. */
  async renew(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(Math.min(this.retryMs, this.#leftMs()), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      // Half of what is left: a request that hangs leaves time for another.
      const renewed = await this.attempt(Math.max(this.#leftMs() / 2, this.#times.retryMs / 2))
      if (signal.aborted) return
      if (!renewed && this.holder) {
        this.#heldUntil = Number.NEGATIVE_INFINITY
        throw new ClawError('fenced', `the lease is held by ${this.holder}`)
      }
      this.assertLeads()
    }
  }

  /** Lets the next candidate begin at once. Where that fails it waits for the lease to run out. */
  async giveBack(): Promise<void> {
    const own = this.#own
    if (!own || this.#leftMs() <= 0) return
    this.#heldUntil = Number.NEGATIVE_INFINITY
    await this.#write(own, givenBack(own, new Date()), AbortSignal.timeout(this.#times.retryMs)).catch((error) =>
      this.#options.log.info({ why: errorMessage(error) }, 'lease not given back'),
    )
  }

  #leftMs(): number {
    return this.#heldUntil - performance.now()
  }

  async #look(signal: AbortSignal): Promise<Lease | undefined> {
    const { kube, lease: at } = this.#options
    const lease = await kube.requestJson<Lease>(kube.path(leases, at), { signal }).catch((error: unknown) => {
      if (isClawError(error, 'not_found')) return undefined
      throw error
    })
    this.#seen = sight(this.#seen, lease, performance.now())
    return lease
  }

  async #write(lease: Lease | undefined, spec: Lease['spec'], signal: AbortSignal): Promise<Lease> {
    const { kube, lease: at } = this.#options
    if (lease) return await kube.requestJson(kube.path(leases, at), { method: 'PUT', body: { ...lease, spec }, signal })
    const { name, namespace } = at
    const { group, version, kind } = leases
    const body = { apiVersion: `${group}/${version}`, kind, metadata: { name, namespace }, spec }
    return await kube.requestJson(kube.collection(leases, namespace), { method: 'POST', body, signal })
  }
}
