import { setTimeout as sleep } from 'node:timers/promises'
import type { Kube } from '#core/kube'
import type { Logger } from '#core/telemetry'
import type { Certificate } from './certificate.ts'
import { Configurations } from './injection.ts'
import { keepCertificate } from './keeper.ts'
import { bundleOf, type Pace } from './rotation.ts'

export interface UpkeepPace extends Pace {
  /** Milliseconds after which the Secret is read again: for what another replica did, and to renew in time. */
  rereadMs: number
}

/** Ten seconds for API servers to take notice, an hour for replicas, which look every minute. */
export const usualPace: UpkeepPace = { settleMs: 10_000, overlapMs: 3_600_000, rereadMs: 60_000 }
const retryMs = 1_000

export interface UpkeepOptions {
  kube: Kube
  namespace: string
  /** DNS names and addresses under which API servers call this replica. */
  names: readonly string[]
  pace: UpkeepPace
  log: Logger
  now?: () => Date
}

/** Keeps what this replica serves: the certificate that all share, and the trust of API servers in it. */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #configurations: Configurations
  #served: Certificate
  #announced: { authority: string; trustedSince: Date } | undefined
  #wake = Promise.withResolvers<void>()

  private constructor(options: UpkeepOptions, certificate: Certificate) {
    this.#options = options
    this.#served = certificate
    this.#configurations = new Configurations(options.kube, {
      onChange: () => this.#wake.resolve(),
      onError: (error) => options.log.warn({ err: error }, 'watch of a webhook configuration broke'),
    })
  }

  /** Finds the certificate, or makes the first. */
  static async begin(options: UpkeepOptions): Promise<Upkeep> {
    const { now = () => new Date() } = options
    const { names } = options
    const situation = { names, served: undefined, nextTrustedSince: undefined, now: now() }
    return new Upkeep(options, (await keepCertificate(options, situation)).current)
  }

  get certificate(): Certificate {
    return this.#served
  }

  /** Whether API servers are told, in every entry of both configurations, to trust what is served here. */
  isTrusted(): boolean {
    return this.#configurations.trust(this.#served.authority)
  }

  /** Until the signal aborts; `serve` is handed each certificate that is to be served from then on. */
  async run(serve: (certificate: Certificate) => void, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#configurations.run(signal), this.#loop(serve, signal)])
  }

  async #loop(serve: (certificate: Certificate) => void, signal: AbortSignal): Promise<void> {
    const { log } = this.#options
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers<void>()
      let pause = retryMs
      try {
        pause = await this.#pass(serve)
      } catch (error) {
        log.warn({ err: error }, 'keeping the certificate failed')
      }
      const timer = new AbortController()
      const stop = AbortSignal.any([signal, timer.signal])
      await Promise.race([this.#wake.promise, sleep(pause, undefined, { signal: stop }).catch(() => {})])
      timer.abort()
    }
  }

  /** One look at everything; gives the milliseconds after which the next is due. */
  async #pass(serve: (certificate: Certificate) => void): Promise<number> {
    const { names, pace, log, now = () => new Date() } = this.#options
    const nextTrustedSince = this.#announced?.trustedSince
    const situation = { names, served: this.#served, nextTrustedSince, now: now() }
    const held = await keepCertificate(this.#options, situation)
    if (held.current.chain !== this.#served.chain) {
      serve(held.current)
      this.#served = held.current
      log.info({}, 'serving another certificate')
    }
    await this.#configurations.inject(bundleOf(held))

    const announced = held.next?.authority
    if (announced === undefined || !this.#configurations.trust(announced)) this.#announced = undefined
    else if (this.#announced?.authority !== announced) this.#announced = { authority: announced, trustedSince: now() }
    return this.#announced ? Math.min(pace.settleMs, pace.rereadMs) : pace.rereadMs
  }
}
