import { isDeepStrictEqual } from 'node:util'
import { isClawError } from '#core/errors'
import {
  type AgentRun,
  type ClawInstance,
  type ClawInstanceStatus,
  type ClawPolicy,
  type Condition,
  clawInstances,
  type KubeObject,
  withCondition,
} from '#core/kinds'
import { type Informer, type Kube, keyOf, type ReconcileResult } from '#core/kube'
import { bindingPolicy, type Platform } from '#core/policy'
import { decideShared, type Shared, tenantObjects } from '../resources/tenant.ts'

export interface InstanceReconcilerOptions {
  kube: Kube
  caches: {
    instances: Informer<ClawInstance>
    policies: Informer<ClawPolicy>
    /** With the index `instance`. */
    runs: Informer<AgentRun>
    /** Ours, by label, of all namespaces. */
    serviceAccounts: Informer<KubeObject>
    roleBindings: Informer<KubeObject>
  }
  systemNamespace: string
  platform: Platform
  now?: () => Date
}

export interface InstanceFacts {
  instance: ClawInstance
  policy: { name: string; required: boolean; exists: boolean }
  activeRuns: number
  isolation: Platform['isolation']
  /** Objects of the namespace that are not ours but bear the name. */
  inTheWay: string[]
}

/** The status that the facts make. */
export function instanceStatus(facts: InstanceFacts, now: Date): ClawInstanceStatus {
  const { instance, policy, activeRuns, isolation, inTheWay } = facts
  const { generation } = instance.metadata
  const observed = generation === undefined ? {} : { observedGeneration: generation }
  let conditions: Condition[] = instance.status?.conditions ?? []
  const set = (type: string, status: boolean, reason: string, message: string) => {
    conditions = withCondition(
      conditions,
      { type, status: status ? 'True' : 'False', reason, message, ...observed },
      now,
    )
  }
  const bound = policy.exists ? `ClawPolicy ${policy.name} binds` : 'the built-in restricted policy binds'
  if (policy.required && !policy.exists) {
    set('PolicyResolved', false, 'PolicyMissing', `there is no ClawPolicy ${policy.name}; runs wait for it`)
  } else set('PolicyResolved', true, policy.exists ? 'Bound' : 'Restricted', bound)
  if (isolation === 'none') set('Isolated', false, 'None', 'isolation: none; runs of this machine share it unconfined')
  else set('Isolated', true, 'Isolated', `isolation: ${isolation}`)
  const ready = inTheWay.length === 0
  set('Ready', ready, ready ? 'Ready' : 'NotOurs', inTheWay.join('; '))
  return { phase: ready ? 'Ready' : 'Error', activeRuns, conditions, ...observed }
}

/** Gives an instance's namespace what its runs need, and says in the status how the instance stands. */
export class InstanceReconciler {
  readonly #options: InstanceReconcilerOptions
  readonly #now: () => Date

  constructor(options: InstanceReconcilerOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { caches, systemNamespace, platform, kube } = this.#options
    const instance = caches.instances.get(key)
    if (!instance || instance.metadata.deletionTimestamp) return
    const namespace = instance.metadata.namespace ?? kube.namespace
    const inTheWay: string[] = []
    for (const shared of tenantObjects(namespace, systemNamespace)) {
      const problem = await this.#ensure(instance, shared)
      if (problem) inTheWay.push(problem)
    }
    const binding = bindingPolicy(instance)
    const exists = caches.policies.get(`${namespace}/${binding.name}`) !== undefined
    const activeRuns = caches.runs.byIndex('instance', key).filter((run) => run.status?.phase === 'Running').length
    const policy = { ...binding, exists }
    const status = instanceStatus(
      { instance, policy, activeRuns, isolation: platform.isolation, inTheWay },
      this.#now(),
    )
    if (isDeepStrictEqual({ ...instance.status }, status)) return
    await kube.patch(clawInstances, instance.metadata, { status }, 'status')
  }

  async #ensure(instance: ClawInstance, shared: Shared): Promise<string | undefined> {
    const { kube, caches } = this.#options
    const { resource, object } = shared
    const cache = resource.kind === 'ServiceAccount' ? caches.serviceAccounts : caches.roleBindings
    const step = decideShared(instance, shared, cache.get(keyOf(object)))
    if (step.do === 'create') {
      try {
        await kube.create(resource, step.object)
      } catch (error) {
        if (!isClawError(error, 'already_exists')) throw error
        // Made by another instance a moment ago, or by somebody else, whose object the cache does not select.
        return await this.#settle(instance, shared, await kube.get(resource, object.metadata))
      }
      return
    }
    return await this.#settle(instance, shared, cache.get(keyOf(object)))
  }

  async #settle(instance: ClawInstance, shared: Shared, existing: KubeObject | undefined): Promise<string | undefined> {
    const step = decideShared(instance, shared, existing)
    if (step.do === 'leave') return step.message
    if (step.do === 'patch') await this.#options.kube.patch(shared.resource, shared.object.metadata, step.patch)
    return undefined
  }
}
