import type { AgentRun, ClawInstance, ClawPolicy, Effective, SkillPack } from '#core/kinds'
import type { ConfigMap } from '#core/kube'
import {
  bindingPolicy,
  configMapSource,
  mayChildStart,
  type Platform,
  packSource,
  resolveRun,
  type SkillSource,
  type SkillSources,
} from '#core/policy'
import { type CapacityFacts, mayStart } from './capacity.ts'
import { type Ending, failed } from './ending.ts'
import { endReasons } from './reasons.ts'

/** What was read for the decision beyond the caches. */
export interface Gathered {
  /** Copies of those that the instance names for skills, by the name of the original. */
  configMaps: ReadonlyMap<string, ConfigMap>
  /** Why a pod could not be told whom to speak to. */
  missingHost?: string | undefined
}

export interface PendingFacts extends Gathered, Omit<CapacityFacts, 'hasRoom'> {
  run: AgentRun
  /** The run that `spec.parent` names. */
  parent: AgentRun | undefined
  instance: ClawInstance | undefined
  /** By name, all of the namespace. */
  policies: (name: string) => ClawPolicy | undefined
  packs: (name: string) => SkillPack | undefined
  platform: Platform
}

export type PendingStep =
  | { do: 'conclude'; ending: Ending }
  /** `forMs`: when to look again where no event will tell. */
  | {
      do: 'wait'
      condition: 'Resolved' | 'Started'
      reason: string
      message: string
      effective?: Effective
      forMs?: number
    }
  | { do: 'start'; effective: Effective }

/** How soon to look again for what no event tells of. */
const lookAgainMs = 10_000

/** What to do with a run that has not started. What it refers to is waited for; what can never be is its end. */
export function decidePending(facts: PendingFacts): PendingStep {
  const { run, instance, parent } = facts
  if (run.spec.cancel) return { do: 'conclude', ending: { phase: 'Cancelled', reason: endReasons.cancelled } }
  if (!instance) return unresolved('InstanceMissing', `there is no ClawInstance ${run.spec.instanceRef.name} yet`)
  if (run.spec.parent && !parent) {
    return { do: 'conclude', ending: failed(endReasons.parentMissing, `AgentRun ${run.spec.parent.name} is gone`) }
  }
  const resolved = run.status?.effective ? { effective: run.status.effective } : resolve(facts, instance)
  if (!('effective' in resolved)) return resolved
  const { effective } = resolved
  const wait = (reason: string, message: string): PendingStep => ({
    ...{ do: 'wait', condition: 'Started', reason, message, effective },
  })
  if (instance.status?.phase !== 'Ready') {
    return wait('InstanceNotReady', `ClawInstance ${instance.metadata.name} is not Ready yet`)
  }
  if (facts.missingHost !== undefined) {
    return {
      do: 'wait',
      condition: 'Started',
      reason: 'ServiceMissing',
      message: facts.missingHost,
      effective,
      forMs: lookAgainMs,
    }
  }
  const above = parent?.status?.effective
  const hasRoom = (running: number) =>
    above ? mayChildStart(above, running) : running < instance.spec.maxConcurrentRuns
  const answer = mayStart({ ...facts, hasRoom })
  return answer.start ? { do: 'start', effective } : wait(answer.reason, answer.message)
}

function resolve(facts: PendingFacts, instance: ClawInstance): { effective: Effective } | PendingStep {
  const { parent, run, platform } = facts
  if (parent && !parent.status?.effective) {
    return unresolved('ParentPending', `AgentRun ${parent.metadata.name} has not been resolved yet`, lookAgainMs)
  }
  const binding = bindingPolicy(instance)
  const policy = facts.policies(binding.name)
  if (!policy && binding.required) {
    return unresolved('PolicyMissing', `there is no ClawPolicy ${binding.name} yet, which the instance names`)
  }
  const skills = skillsOf(facts, instance)
  if ('do' in skills) return skills
  const resolution = resolveRun({ instance, policy, run, parent, skills, platform })
  if ('effective' in resolution) return resolution
  const { reason, message } = resolution.refused
  return { do: 'conclude', ending: failed(reason, message) }
}

/** All that the instance names, or what of it is not there yet. */
function skillsOf({ packs, configMaps }: PendingFacts, instance: ClawInstance): SkillSources | PendingStep {
  const found = { packs: {} as Record<string, SkillSource>, configMaps: {} as Record<string, SkillSource> }
  for (const { skillPackRef, configMapRef } of instance.spec.skills ?? []) {
    if (skillPackRef) {
      const pack = packs(skillPackRef.name)
      const source = pack && published(pack)
      if (!source) {
        const state = pack ? 'is not Ready' : 'does not exist'
        return unresolved('SkillPackMissing', `SkillPack ${skillPackRef.name} ${state} yet`)
      }
      found.packs[skillPackRef.name] = source
    } else if (configMapRef) {
      const map = configMaps.get(configMapRef.name)
      if (!map) {
        const message = `ConfigMap ${configMapRef.name}, which the instance names for skills, does not exist yet`
        return unresolved('ConfigMapMissing', message, lookAgainMs)
      }
      found.configMaps[configMapRef.name] = configMapSource(map.metadata.name, map.data)
    }
  }
  return found
}

/** A pack whose present content lies in its ConfigMap. */
function published(pack: SkillPack): SkillSource | undefined {
  const { phase, configMapName, observedGeneration } = pack.status ?? {}
  if (phase !== 'Ready' || !configMapName || observedGeneration !== pack.metadata.generation) return undefined
  return packSource(pack.spec, configMapName)
}

function unresolved(reason: string, message: string, forMs?: number): PendingStep {
  return { do: 'wait', condition: 'Resolved', reason, message, ...(forMs === undefined ? {} : { forMs }) }
}
