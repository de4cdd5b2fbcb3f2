import { isDeepStrictEqual } from 'node:util'
import { type Bus, forgetPolicy, storedPolicies, storePolicy } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { type ClawInstance, type ClawPolicy, clawPolicies } from '#core/kinds'
import { type Informer, type Kube, keyOf, type ReconcileResult } from '#core/kube'
import { compilePolicy } from '#core/policy'
import { boundInstances, policyStatus } from './status.ts'

export interface PolicyReconcilerOptions {
  kube: Kube
  bus: Bus
  caches: { policies: Informer<ClawPolicy>; instances: Informer<ClawInstance> }
  now?: () => Date
}

/** How long it is remembered that a policy was deleted: a day more than the longest run lasts. */
const rememberMs = 8 * 24 * 60 * 60_000

/**
 * Compiles a policy into the bus, where the runs under way are judged by it, and says in its status which version that
 * is and how many instances it binds.
 */
export class PolicyReconciler {
  readonly #options: PolicyReconcilerOptions
  readonly #now: () => Date

  constructor(options: PolicyReconcilerOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { kube, bus, caches } = this.#options
    const policy = caches.policies.get(key)
    const [namespace = '', name = ''] = key.split('/')
    const at = { namespace, name }
    if (!policy) {
      await storePolicy(bus, at, null)
      await forgetPolicy(bus, at, new Date(this.#now().getTime() - rememberMs))
      return
    }
    const failure = await storePolicy(bus, at, compilePolicy(policy)).then(
      () => undefined,
      (error: unknown) => {
        if (!isClawError(error, 'unavailable')) throw error
        return error
      },
    )
    const status = policyStatus(
      {
        policy,
        boundInstances: boundInstances(policy, caches.instances.list()),
        notStored: failure && errorMessage(failure),
      },
      this.#now(),
    )
    if (!isDeepStrictEqual({ ...policy.status }, status)) {
      await kube.patch(clawPolicies, policy.metadata, { status }, 'status')
    }
    if (failure) throw failure
  }

  /** Keys of everything that is to be looked at: what there is, and what the bus remembers of what there was. */
  async everyKey(): Promise<string[]> {
    const { bus, caches } = this.#options
    const stored = (await storedPolicies(bus)).map((metadata) => keyOf({ metadata }))
    return [...new Set([...caches.policies.list().map(keyOf), ...stored])]
  }
}
