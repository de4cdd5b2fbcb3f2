import type { Bounds, Model } from '#core/kinds'
import { admitsImage, admitsModel } from './allow.ts'
import type { Draft } from './draft.ts'
import { nameOf } from './judge.ts'
import { depthOf, tooDeep, wrongParent } from './lineage.ts'
import { embeddingsRefused } from './memory.ts'
import { policyCaps, wishAbove } from './resources.ts'

/** Every reason, as docs/policy.md lists them. */
export const refusalReasons = [
  'UnknownAgent',
  'WrongParent',
  'TooDeep',
  'TooManyChildren',
  'NoCredential',
  'NotIsolated',
  'ModelNotAllowed',
  'SandboxRequired',
  'ConflictingImages',
  'ImageNotAllowed',
  'ResourcesExceeded',
  'RuntimeClassConflict',
  'DuplicateSkill',
  'TooManySkills',
] as const
export type RefusalReason = (typeof refusalReasons)[number]

/** Why a run can never start as written. `field` is of the AgentRun where it begins with `spec.`. */
export interface Refusal {
  reason: RefusalReason
  message: string
  field?: string
  /** Below the run's agent in the ClawInstance, where it is that agent which asks for what its policy forbids. */
  agentField?: string
  /** Of the ClawInstance, where it is what all its agents share that its policy forbids. */
  instanceField?: string
}

/** Most skills that a run may have in all. */
const maxSkills = 1024

/** The first thing that forbids a run, in the order in which a person would want to hear of them. */
export function refusalOf(draft: Draft): Refusal | undefined {
  return checks.reduce<Refusal | undefined>((found, check) => found ?? check(draft), undefined)
}

const checks: readonly ((draft: Draft) => Refusal | undefined)[] = [
  ({ run, parent }) => wrongParent(run, parent),
  ({ run, subagents }) => tooDeep(depthOf(run), subagents),
  credentialMissing,
  isolationMissing,
  modelForbidden,
  ({ bounds, instance }) => embeddingsRefused(instance, bounds),
  sandboxMissing,
  imagesInConflict,
  imageForbidden,
  resourcesExceeded,
  runtimeClassInConflict,
  skillsUnclear,
]

/** The demo model answers inside the gateway: it needs no credential and runs nothing that a stranger wrote. */
function isOffline(model: Model): boolean {
  return model.provider === 'demo'
}

/** A refusal about the model names the run's field where the run chose it. */
function ofModel(draft: Draft, field: string, reason: RefusalReason, message: string): Refusal {
  return { reason, message, ...(draft.run.spec.model && { field }) }
}

function credentialMissing(draft: Draft): Refusal | undefined {
  const { instance, model } = draft
  if (draft.secretRef || isOffline(model)) return undefined
  const message = `instance ${instance.metadata.name} has no authRef for provider ${model.provider}`
  return ofModel(draft, 'spec.model.provider', 'NoCredential', message)
}

function isolationMissing(draft: Draft): Refusal | undefined {
  const { model, platform } = draft
  if (platform.isolation !== 'none' || platform.allowUnconfined || isOffline(model)) return undefined
  const message = `nothing isolates runs on this machine (isolation: none), so only provider demo may run, not ${model.provider}`
  return ofModel(draft, 'spec.model.provider', 'NotIsolated', message)
}

function modelForbidden(draft: Draft): Refusal | undefined {
  const { model } = draft
  const forbidding = draft.bounds.find(({ modelsAllowed }) => modelsAllowed && !admitsModel(modelsAllowed, model))
  if (!forbidding) return undefined
  const message = `${nameOf(forbidding)} does not allow the model ${model.provider}/${model.name}${whose(draft, forbidding)}`
  if (!draft.run.spec.model) return { reason: 'ModelNotAllowed', message, agentField: 'model' }
  return { reason: 'ModelNotAllowed', message, field: 'spec.model' }
}

function sandboxMissing({ agent, bounds, run, sandboxed, rules }: Draft): Refusal | undefined {
  if (!rules.sandboxPolicy?.required || sandboxed) return undefined
  const lack = agent.sandbox?.enabled ? 'its parent has none, so it may have none' : `agent ${run.spec.agent} has none`
  const message = `${nameOf(bounds[0])} requires a sandbox, and ${lack}`
  return { reason: 'SandboxRequired', message, agentField: 'sandbox.enabled' }
}

/** Only where the agent leaves the choice to its packs. */
function imagesInConflict({ agent, sandboxed, sources }: Draft): Refusal | undefined {
  if (!sandboxed || agent.sandbox?.image) return undefined
  const [first, ...others] = sources.filter(({ source }) => source.image !== undefined)
  const other = others.find(({ source }) => source.image !== first?.source.image)
  if (!first || !other) return undefined
  const message = `${first.of} wants the sandbox image ${first.source.image}, ${other.of} wants ${other.source.image}, and the agent names none`
  return { reason: 'ConflictingImages', message }
}

function imageForbidden(draft: Draft): Refusal | undefined {
  const { bounds, images, platform, sandboxed } = draft
  const used = [['agent', images.agent] as const, ...(sandboxed ? [['sandbox', images.sandbox] as const] : [])]
  for (const [container, image] of used) {
    if (image === platform.images[container]) continue
    const forbidding = bounds.find(({ imagesAllowed }) => imagesAllowed && !admitsImage(imagesAllowed, image))
    if (!forbidding) continue
    const message = `${nameOf(forbidding)} does not allow the ${container} image ${image}${whose(draft, forbidding)}`
    return { reason: 'ImageNotAllowed', message, agentField: container === 'agent' ? 'image' : 'sandbox.image' }
  }
  return undefined
}

/** How a refusal tells that it was not the run's own bounds that forbade it. */
function whose({ bounds }: Draft, forbidding: Bounds): string {
  return forbidding === bounds[0] ? '' : ', and it binds a run above this one'
}

function resourcesExceeded({ agent, bounds, instance, run, sandboxed, rules }: Draft): Refusal | undefined {
  const caps = policyCaps(rules)
  const wishes = [
    ['', agent.resources] as const,
    ...(sandboxed ? [['sandbox.', agent.sandbox?.resources] as const] : []),
  ]
  for (const [prefix, wish] of wishes) {
    const problem = wishAbove(wish, caps)
    if (!problem) continue
    const agentField = `${prefix}${problem.path}`
    const place = `spec.agents.${run.spec.agent}.${agentField} of instance ${instance.metadata.name}`
    const message = `${place}: ${problem.message}, the most that ${nameOf(bounds[0])} allows`
    return { reason: 'ResourcesExceeded', message, agentField }
  }
  return undefined
}

function runtimeClassInConflict({ above, bounds, rules }: Draft): Refusal | undefined {
  const wanted = rules.sandboxPolicy?.runtimeClassName
  const had = above?.runtimeClassName
  if (wanted === undefined || had === undefined || wanted === had) return undefined
  const message = `${nameOf(bounds[0])} wants the RuntimeClass ${wanted}, and the parent runs in ${had}`
  return { reason: 'RuntimeClassConflict', message }
}

function skillsUnclear({ instance, sources }: Draft): Refusal | undefined {
  const placeOf = new Map<string, string>()
  for (const { of, source } of sources) {
    for (const { name } of source.skills) {
      const other = placeOf.get(name)
      if (other !== undefined) {
        const message = `skill ${name} is in both ${other} and ${of}, of instance ${instance.metadata.name}`
        return { reason: 'DuplicateSkill', message }
      }
      placeOf.set(name, of)
    }
  }
  if (placeOf.size <= maxSkills) return undefined
  const message = `instance ${instance.metadata.name} has ${placeOf.size} skills, and a run may have ${maxSkills}`
  return { reason: 'TooManySkills', message }
}
