import { type ClawInstance, type ClawPolicy, withCondition } from '#core/kinds'
import { bindingPolicy } from '#core/policy'

export interface PolicyFacts {
  policy: ClawPolicy
  boundInstances: number
  /** Why the bus does not have this version; undefined where it has. */
  notStored: string | undefined
}

/** How many of the instances a policy binds: those that name it, and for the default one those that name none. */
export function boundInstances(policy: ClawPolicy, instances: readonly ClawInstance[]): number {
  const { name, namespace } = policy.metadata
  return instances.filter(
    (instance) => instance.metadata.namespace === namespace && bindingPolicy(instance).name === name,
  ).length
}

/** The status that the facts make. */
export function policyStatus(
  { policy, boundInstances, notStored }: PolicyFacts,
  now: Date,
): NonNullable<ClawPolicy['status']> {
  const { generation = 0 } = policy.metadata
  const observedGeneration = generation
  const accepted = { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'binds new runs' } as const
  const inForce =
    notStored === undefined
      ? ({ type: 'InForce', status: 'True', reason: 'Stored', message: 'binds the calls of runs under way' } as const)
      : ({ type: 'InForce', status: 'False', reason: 'BusUnavailable', message: notStored } as const)
  const before = withCondition(policy.status?.conditions, { ...accepted, observedGeneration }, now)
  const conditions = withCondition(before, { ...inForce, observedGeneration }, now)
  return { boundInstances, conditions, observedGeneration }
}
