import { type Bus, watchPolicies } from '#core/bus'
import { ClawError } from '#core/errors'
import { type PolicyInForce, readPolicyInForce } from '#core/policy'

/** The policies as they are now, in memory. */
export interface PoliciesInForce {
  /** What binds, or undefined where nothing is known of that policy. Throws `unavailable` while it cannot be told. */
  of(namespace: string, name: string): PolicyInForce | undefined
}

/** As the bus tells them. While it is away what was told last stands; before it was first there, nobody can say. */
export class PoliciesOfBus implements PoliciesInForce {
  readonly #known = new Map<string, PolicyInForce>()
  #synced = false

  /** Follows them until the signal aborts. */
  async follow(connection: Promise<Bus>, signal: AbortSignal): Promise<void> {
    await watchPolicies(await connection, signal, {
      onChange: ({ namespace, name }, value) => {
        const inForce = readPolicyInForce(value)
        if (inForce) this.#known.set(`${namespace}/${name}`, inForce)
      },
      onSynced: () => {
        this.#synced = true
      },
    })
  }

  of(namespace: string, name: string): PolicyInForce | undefined {
    if (!this.#synced) throw new ClawError('unavailable', 'the policies in force are not known yet')
    return this.#known.get(`${namespace}/${name}`)
  }
}
