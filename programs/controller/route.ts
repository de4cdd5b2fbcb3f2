import { type AgentRun, type ClawInstance, isTerminal, type KubeObject } from '#core/kinds'
import { type Informer, keyOf, type WorkQueue } from '#core/kube'
import type { Caches } from './caches.ts'
import { addressOfRun, runUidLabel } from './resources/job.ts'
import { instanceKeyOf } from './runs/capacity.ts'

export type Queues = Record<'runs' | 'instances' | 'packs' | 'policies' | 'purges', WorkQueue>

/** Counters in the status of an instance are written at most this often. */
const instanceDebounceMs = 1000

/** Which event concerns whom. A key is looked at from the start each time, so one event too many costs little. */
export function route(caches: Caches, queues: Queues): void {
  const { runs, instances, policies, packs, jobs, pods, configMaps, serviceAccounts, roleBindings } = caches
  const wake = (instanceKey: string) => {
    for (const run of runs.byIndex('instance', instanceKey)) if (isPending(run)) queues.runs.add(keyOf(run))
  }
  const instancesOf = (object: KubeObject) =>
    instances.list().filter((instance) => instance.metadata.namespace === object.metadata.namespace)

  onAny(instances, (instance) => {
    queues.instances.add(keyOf(instance))
    wake(keyOf(instance))
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
