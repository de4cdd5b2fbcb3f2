import { type AgentRun, type ClawInstance, isTerminal, type KubeObject } from '#core/kinds'
import { type Informer, keyOf, type WorkQueue } from '#core/kube'
import { bindingPolicy } from '#core/policy'
import type { Caches } from './caches.ts'
import { canaryRun } from './canary/job.ts'
import { addressOfChannel } from './resources/channel.ts'
import { addressOfRun, instanceLabel, runUidLabel } from './resources/job.ts'
import { instanceKeyOf } from './runs/capacity.ts'

export type Queues = Record<'runs' | 'instances' | 'packs' | 'policies' | 'canaries' | 'purges' | 'channels', WorkQueue>

/** Counters in the status of an instance are written at most this often. */
const instanceDebounceMs = 1000

/** Which event concerns whom. A key is looked at from the start each time, so one event too many costs little. */
export function route(caches: Caches, queues: Queues): void {
  const { runs, instances, policies, packs, jobs, pods, configMaps } = caches
  const { serviceAccounts, roleBindings, networkPolicies, namespaces, deployments, services, channelPods } = caches
  const wake = (instanceKey: string) => {
    for (const run of runs.byIndex('instance', instanceKey)) if (isPending(run)) queues.runs.add(keyOf(run))
  }
  const instancesIn = (namespace = '') => instances.byIndex('namespace', namespace)
  const instancesOf = (object: KubeObject) => instancesIn(object.metadata.namespace)
  const tenant = (namespace = '') => {
    for (const instance of instancesIn(namespace)) queues.instances.add(keyOf(instance))
    queues.canaries.add(namespace)
  }

  onAny(instances, (instance, { before, gone }) => {
    queues.instances.add(keyOf(instance))
    wake(keyOf(instance))
    const { namespace } = instance.metadata
    const bound = (one: ClawInstance) => keyOf({ metadata: { name: bindingPolicy(one).name, namespace } })
    const isNew = !before || gone
    // Whether it has them no more is looked at when its turn comes.
    for (const { name } of (before ?? instance).spec.channels ?? []) {
      if (gone || !instance.spec.channels?.some((channel) => channel.name === name))
        queues.channels.add(JSON.stringify(addressOfChannel(instance, { name })))
    }
    if (isNew) queues.canaries.add(namespace ?? '')
    // The policy that it leaves counts one less.
    if (isNew || bound(before) !== bound(instance)) {
      for (const key of new Set([bound(instance), bound(before ?? instance)])) {
        if (policies.get(key)) queues.policies.add(key)
      }
    }
  })
  onAny(policies, (policy) => {
    queues.policies.add(keyOf(policy))
    for (const instance of instancesOf(policy)) {
      queues.instances.add(keyOf(instance))
      wake(keyOf(instance))
    }
  })
  onAny(packs, (pack) => {
    queues.packs.add(keyOf(pack))
    for (const instance of instancesOf(pack)) if (usesPack(instance, pack)) wake(keyOf(instance))
  })
  onAny(runs, (run, { before, gone }) => {
    queues.runs.add(keyOf(run))
    queues.instances.addAfter(instanceKeyOf(run), instanceDebounceMs)
    if (gone) queues.purges.add(JSON.stringify(addressOfRun(run)))
    // A place became free, or somebody ahead in the queue cannot start any more.
    const leftQueue = isPending(run) && before !== undefined && before.status?.reason !== run.status?.reason
    if (gone || leftQueue || isTerminal(run.status?.phase)) wake(instanceKeyOf(run))
  })
  for (const children of [jobs, pods] as const) {
    onAny<KubeObject>(children, (child) => {
      if (child.metadata.labels?.[runUidLabel] === canaryRun) tenant(child.metadata.namespace)
      for (const run of runs.byIndex('uid', child.metadata.labels?.[runUidLabel] ?? '')) queues.runs.add(keyOf(run))
    })
  }
  onAny(configMaps, (map) => {
    const owner = map.metadata.ownerReferences?.find((reference) => reference.kind === 'SkillPack')
    if (owner) queues.packs.add(keyOf({ metadata: { name: owner.name, namespace: map.metadata.namespace } }))
  })
  for (const shared of [serviceAccounts, roleBindings]) {
    onAny(shared, (object) => {
      for (const instance of instancesOf(object)) queues.instances.add(keyOf(instance))
    })
  }
  for (const children of [deployments, services, channelPods] as const) {
    onAny<KubeObject>(children, ({ metadata: { namespace, labels } }) => {
      const key = keyOf({ metadata: { name: labels?.[instanceLabel] ?? '', namespace } })
      if (instances.get(key)) queues.instances.add(key)
    })
  }
  onAny(networkPolicies, (policy) => tenant(policy.metadata.namespace))
  onAny(namespaces, (namespace) => tenant(namespace.metadata.name))
}

function onAny<T extends KubeObject>(
  informer: Pick<Informer<T>, 'on'>,
  handle: (object: T, change: { before?: T; gone?: boolean }) => void,
): void {
  informer.on({
    add: (object) => handle(object, {}),
    update: (object, before) => handle(object, { before }),
    delete: (object) => handle(object, { gone: true }),
  })
}

function isPending(run: AgentRun): boolean {
  return (run.status?.phase ?? 'Pending') === 'Pending'
}

function usesPack(instance: ClawInstance, pack: KubeObject): boolean {
  return instance.spec.skills?.some((skill) => skill.skillPackRef?.name === pack.metadata.name) ?? false
}
