import { isDeepStrictEqual } from 'node:util'
import { isClawError } from '#core/errors'
import { type AgentRun, type ClawInstance, type ClawPolicy, clawInstances, type KubeObject } from '#core/kinds'
import { type Informer, type Job, type Kube, keyOf, namespaces, type Pod, type ReconcileResult } from '#core/kube'
import { bindingPolicy, type Platform } from '#core/policy'
import { canaryOf, canaryVerdict } from '../canary/decide.ts'
import type { PinnedSkills } from '../packs/pinned.ts'
import { decideShared, type Shared, type TenantSettings, tenantObjects } from '../resources/tenant.ts'
import type { ChannelKeeper } from './channels.ts'
import { podSecurityOf } from './pod-security.ts'
import { instanceStatus } from './status.ts'

export interface InstanceReconcilerOptions {
  kube: Kube
  caches: {
    instances: Informer<ClawInstance>
    policies: Informer<ClawPolicy>
    /** With the index `instance`. */
    runs: Informer<AgentRun>
    namespaces: Informer<KubeObject>
    /** Ours, by label, of all namespaces. */
    serviceAccounts: Informer<KubeObject>
    roleBindings: Informer<KubeObject>
    networkPolicies: Informer<KubeObject>
    /** Those of runs and canaries; pods with the index `run`. */
    jobs: Informer<Job>
    pods: Informer<Pod>
  }
  channels: Pick<ChannelKeeper, 'settle'>
  skills: Pick<PinnedSkills, 'tidy'>
  tenant: TenantSettings
  platform: Platform
  now?: () => Date
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
    const { caches, platform, kube, tenant } = this.#options
    const instance = caches.instances.get(key)
    if (!instance || instance.metadata.deletionTimestamp) return
    const name = instance.metadata.namespace ?? kube.namespace
    const namespace = caches.namespaces.get(name)
    // Nothing can be made in a namespace that ends; its instances end with it.
    if (!namespace || namespace.metadata.deletionTimestamp) return
    const podSecurity = podSecurityOf(namespace)
    if (podSecurity.patch) await kube.patch(namespaces, namespace.metadata, podSecurity.patch)
    const inTheWay: string[] = []
    for (const shared of tenantObjects(name, tenant)) {
      const problem = await this.#ensure(instance, shared)
      if (problem) inTheWay.push(problem)
    }
    const now = this.#now()
    const channels = await this.#options.channels.settle(instance, now)
    const binding = bindingPolicy(instance)
    const status = instanceStatus(
      {
        instance,
        policy: { ...binding, exists: caches.policies.get(`${name}/${binding.name}`) !== undefined },
        activeRuns: caches.runs.byIndex('instance', key).filter((run) => run.status?.phase === 'Running').length,
        isolation: platform.isolation,
        podSecurity,
        canary: canaryVerdict(canaryOf(caches, name)),
        inTheWay,
        channels: channels.statuses,
      },
      now,
    )
    if (!isDeepStrictEqual({ ...instance.status }, status)) {
      const gone = Object.keys(instance.status ?? {}).filter((field) => !Object.hasOwn(status, field))
      const patch = { ...status, ...Object.fromEntries(gone.map((field) => [field, null])) }
      await kube.patch(clawInstances, instance.metadata, { status: patch }, 'status')
    }
    const tidied = await this.#options.skills.tidy(instance)
    return { requeueAfterMs: soonest(channels.requeueAfterMs, tidied?.requeueAfterMs) }
  }

  #cacheOf({ resource }: Shared): Informer<KubeObject> {
    const { caches } = this.#options
    switch (resource.kind) {
      case 'ServiceAccount':
        return caches.serviceAccounts
      case 'NetworkPolicy':
        return caches.networkPolicies
      default:
        return caches.roleBindings
    }
  }

  /** Says what is in the way where the object is not ours. */
  async #ensure(instance: ClawInstance, shared: Shared): Promise<string | undefined> {
    const { kube } = this.#options
    const { resource, object } = shared
    const cached = this.#cacheOf(shared).get(keyOf(object))
    try {
      return await this.#settle(instance, shared, cached)
    } catch (error) {
      if (cached || !isClawError(error, 'already_exists')) throw error
      // Made for another instance a moment ago, or by somebody else, whose object the cache does not select.
      return await this.#settle(instance, shared, await kube.get(resource, object.metadata))
    }
  }

  async #settle(instance: ClawInstance, shared: Shared, existing: KubeObject | undefined): Promise<string | undefined> {
    const { kube } = this.#options
    const { resource, object } = shared
    const step = decideShared(instance, shared, existing)
    switch (step.do) {
      case 'leave':
        return step.message
      case 'create':
        await kube.create(resource, step.object)
        return
      case 'patch':
        await kube.patch(resource, object.metadata, step.patch)
        return
      case 'replace':
        await kube.delete(resource, object.metadata, { uid: step.uid })
        await kube.create(resource, step.object)
        return
      case 'nothing':
        return
    }
  }
}

function soonest(...times: (number | undefined)[]): number | undefined {
  const due = times.flatMap((ms) => ms ?? [])
  return due.length > 0 ? Math.min(...due) : undefined
}
