import type { AgentRun, ClawInstance, ClawPolicy, Effective, SkillPack } from '#core/kinds'
import { bindingPolicy, type Platform, packSource, resolveRun, type SkillSource } from '#core/policy'
import { type CapacityFacts, mayStart } from './capacity.ts'
import type { Ending } from './ending.ts'

export interface PendingFacts extends Omit<CapacityFacts, 'maxConcurrentRuns'> {
  run: AgentRun
  instance: ClawInstance | undefined
  /** By name, all of the namespace. */
  policies: (name: string) => ClawPolicy | undefined
  packs: (name: string) => SkillPack | undefined
  platform: Platform
}

export type PendingStep =
  | { do: 'conclude'; ending: Ending }
  | { do: 'wait'; condition: 'Resolved' | 'Started'; reason: string; message: string; effective?: Effective }
  | { do: 'start'; effective: Effective }

/** What to do with a run that has not started. What it refers to is waited for; what can never be is its end. */
export function decidePending(facts: PendingFacts): PendingStep {
  const { run, instance } = facts
  if (run.spec.cancel) return { do: 'conclude', ending: { phase: 'Cancelled', reason: 'Cancelled' } }
  if (!instance) return unresolved('InstanceMissing', `there is no ClawInstance ${run.spec.instanceRef.name} yet`)
  const resolved = run.status?.effective ? { effective: run.status.effective } : resolve(facts, instance)
  if (!('effective' in resolved)) return resolved
  const { effective } = resolved
  if (instance.status?.phase !== 'Ready') {
    const message = `ClawInstance ${instance.metadata.name} is not Ready yet`
    return { do: 'wait', condition: 'Started', reason: 'InstanceNotReady', message, effective }
  }
  const answer = mayStart({ ...facts, maxConcurrentRuns: instance.spec.maxConcurrentRuns })
  if (answer.start) return { do: 'start', effective }
  return { do: 'wait', condition: 'Started', reason: answer.reason, message: answer.message, effective }
}

function resolve(facts: PendingFacts, instance: ClawInstance): { effective: Effective } | PendingStep {
  const binding = bindingPolicy(instance)
  const policy = facts.policies(binding.name)
  if (!policy && binding.required) {
    return unresolved('PolicyMissing', `there is no ClawPolicy ${binding.name} yet, which the instance names`)
  }
  const packs: Record<string, SkillSource> = {}
  for (const { skillPackRef } of instance.spec.skills ?? []) {
    if (!skillPackRef) continue
    const pack = facts.packs(skillPackRef.name)
    const source = pack && published(pack)
    if (!source) {
      return unresolved(
        'SkillPackMissing',
        `SkillPack ${skillPackRef.name} ${pack ? 'is not Ready' : 'does not exist'} yet`,
      )
    }
    packs[skillPackRef.name] = source
  }
  const skills = { packs, configMaps: {} }
  const resolution = resolveRun({ instance, policy, run: facts.run, skills, platform: facts.platform })
  if ('effective' in resolution) return resolution
  const { reason, message } = resolution.refused
  return { do: 'conclude', ending: { phase: 'Failed', reason, error: message } }
}

/** A pack whose present content lies in its ConfigMap. */
function published(pack: SkillPack): SkillSource | undefined {
  const { phase, configMapName, observedGeneration } = pack.status ?? {}
  if (phase !== 'Ready' || !configMapName || observedGeneration !== pack.metadata.generation) return undefined
  return packSource(pack.spec, configMapName)
}

function unresolved(reason: string, message: string): PendingStep {
  return { do: 'wait', condition: 'Resolved', reason, message }
}
