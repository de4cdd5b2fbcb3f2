import {
  type Agent,
  type AgentRun,
  type Bounds,
  type ClawInstance,
  type ClawPolicy,
  type ClawPolicySpec,
  defaultPolicyName,
  durationSeconds,
  type Effective,
  type Model,
  restrictedPolicy,
} from '#core/kinds'
import { admitsImage, admitsModel, urlsOfBoth } from './allow.ts'
import { nameOf } from './judge.ts'
import {
  boundsAbove,
  defaultSubagentPolicy,
  defaultSubagents,
  depthOf,
  gatesOfBoth,
  lowest,
  tooDeep,
  wrongParent,
} from './lineage.ts'
import { type Caps, decideResources, defaultResources, policyCaps, wishAbove } from './resources.ts'
import { chooseSkills, type SkillSources, sourcesOf } from './skills.ts'

/** Model calls a run may make. */
export const maxSteps = 64
/** Input and output tokens a run may use together. */
export const maxTokens = 1_000_000

/** What the platform says about the machines that runs start on. */
export interface Platform {
  /** What keeps the containers of a run apart from the machine. */
  isolation: 'kubernetes' | 'bubblewrap' | 'none'
  /** Whether models other than demo may run where isolation is none. */
  allowUnconfined: boolean
  /** Images of runs that name none. */
  images: { agent: string; sandbox: string }
}

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
}

export type Resolution = { effective: Effective } | { refused: Refusal }

export interface RunParts {
  instance: ClawInstance
  /** undefined binds the built-in restricted policy. */
  policy: ClawPolicy | undefined
  run: Pick<AgentRun, 'spec'>
  /** The AgentRun that `run.spec.parent` names, with its status; who resolves a child waits until that is resolved. */
  parent?: AgentRun | undefined
  skills: SkillSources
  platform: Platform
}

/** Most skills that a run may have in all. */
const maxSkills = 1024

/**
 * The one decision about a run before it starts: everything that later parts need to know, or why it cannot be. The
 * controller writes it into `status.effective`; admission calls it to refuse early. It never throws on what the
 * schemas accept. A child gets what its own instance and policy give it and its parent has as well, never more.
 */
export function resolveRun(parts: RunParts): Resolution {
  const { instance, policy, run, parent, platform } = parts
  const agents = instance.spec.agents
  const agent = Object.hasOwn(agents, run.spec.agent) ? agents[run.spec.agent] : undefined
  if (!agent) {
    const known = Object.keys(agents).sort().join(', ')
    const message = `instance ${instance.metadata.name} has no agent ${run.spec.agent}; it has ${known}`
    return { refused: { reason: 'UnknownAgent', message, field: 'spec.agent' } }
  }
  const spec = policy?.spec ?? restrictedPolicy
  const above = run.spec.parent && parent?.status?.effective
  const own = boundsOf(policy, spec, run)
  const sources = sourcesOf(instance, parts.skills)
  const draft: Draft = {
    ...parts,
    agent,
    spec,
    above,
    model: run.spec.model ?? agent.model,
    bounds: [own, ...boundsAbove(own, above)],
    sandboxed: agent.sandbox?.enabled === true && (!above || above.sandbox !== undefined),
    images: {
      agent: agent.image ?? platform.images.agent,
      sandbox:
        agent.sandbox?.image ?? sources.find(({ source }) => source.image)?.source.image ?? platform.images.sandbox,
    },
    subagents: lowest(
      agent.subagents ?? defaultSubagents,
      spec.subagentPolicy ?? defaultSubagentPolicy,
      ...(above ? [above.subagents] : []),
    ),
    sources,
  }
  const refused = checks.reduce<Refusal | undefined>((found, check) => found ?? check(draft), undefined)
  return refused ? { refused } : { effective: effectiveOf(draft) }
}

/** What follows from the parts before anything is refused. */
interface Draft extends RunParts {
  agent: Agent
  spec: ClawPolicySpec
  /** What the parent may, of a child. */
  above: Effective | undefined
  model: Model
  /** The run's own first, then those of the runs above. */
  bounds: [Bounds, ...Bounds[]]
  sandboxed: boolean
  images: { agent: string; sandbox: string }
  subagents: Effective['subagents']
  sources: ReturnType<typeof sourcesOf>
}

/** In the order in which a person would want to hear of them. */
const checks: readonly ((draft: Draft) => Refusal | undefined)[] = [
  ({ run, parent }) => wrongParent(run, parent),
  ({ run, subagents }) => tooDeep(depthOf(run), subagents),
  credentialMissing,
  isolationMissing,
  modelForbidden,
  sandboxMissing,
  imagesInConflict,
  imageForbidden,
  resourcesExceeded,
  runtimeClassInConflict,
  skillsUnclear,
]

function effectiveOf(draft: Draft): Effective {
  const { agent, above, bounds, images, instance, model, platform, run, sandboxed, sources, spec } = draft
  const [own, ...within] = bounds
  const caps = (parent: Effective['resources'] | undefined): Caps[] => [
    policyCaps(spec),
    ...(parent ? [parent.limits] : []),
  ]
  const secretRef = secretOf(draft)
  const urls = urlsOfBoth(spec.modelPolicy?.baseURLs, above?.baseURLs)
  const runtimeClassName = spec.sandboxPolicy?.runtimeClassName ?? above?.runtimeClassName ?? agent.runtimeClassName
  const judged = {
    ...own,
    featureGates: gatesOfBoth(spec.featureGates, above?.featureGates),
    ...(within.length > 0 && { within }),
  }
  return {
    agent: run.spec.agent,
    model,
    ...(secretRef && { secretRef }),
    ...(urls && { baseURLs: [...urls] }),
    image: images.agent,
    ...(agent.command && { command: agent.command }),
    ...(agent.args && { args: agent.args }),
    resources: decideResources(agent.resources, defaultResources.agent, caps(above?.resources)),
    ...(sandboxed && {
      sandbox: {
        enabled: true,
        image: images.sandbox,
        resources: decideResources(agent.sandbox?.resources, defaultResources.sandbox, caps(above?.sandbox?.resources)),
      },
    }),
    ...(runtimeClassName !== undefined && { runtimeClassName }),
    ...(instance.spec.imagePullSecrets && { imagePullSecrets: instance.spec.imagePullSecrets }),
    ...judged,
    subagents: draft.subagents,
    limits: limitsOf(draft),
    ...chooseSkills(sources, judged, { sandbox: sandboxed }),
    isolation: platform.isolation,
  }
}

function limitsOf({ agent, above, run }: Draft): Effective['limits'] {
  const own = { timeoutSeconds: durationSeconds(run.spec.timeout ?? agent.timeout), maxSteps, maxTokens }
  if (!above) return own
  return {
    timeoutSeconds: Math.min(own.timeoutSeconds, above.limits.timeoutSeconds),
    maxSteps: Math.min(own.maxSteps, above.limits.maxSteps),
    maxTokens: Math.min(own.maxTokens, above.limits.maxTokens),
  }
}

function boundsOf(policy: ClawPolicy | undefined, spec: ClawPolicySpec, run: Pick<AgentRun, 'spec'>): Bounds {
  const { toolGating, modelPolicy, imagePolicy } = spec
  return {
    policy: { name: policy?.metadata.name ?? '', generation: policy?.metadata.generation ?? 0 },
    toolGating,
    ...(run.spec.toolPolicy && { toolPolicy: run.spec.toolPolicy }),
    ...(modelPolicy?.allowed && { modelsAllowed: modelPolicy.allowed }),
    ...(imagePolicy && { imagesAllowed: imagePolicy.allowed }),
  }
}

/**
 * Which ClawPolicy binds an instance. `required` tells what its absence means: a policy that the instance names must
 * exist before a run starts, while a namespace without a default policy has the built-in restricted one.
 */
export function bindingPolicy(instance: ClawInstance): { name: string; required: boolean } {
  const named = instance.spec.policyRef?.name
  return { name: named ?? defaultPolicyName, required: named !== undefined }
}

/** The demo model answers inside the gateway: it needs no credential and runs nothing that a stranger wrote. */
function isOffline(model: Model): boolean {
  return model.provider === 'demo'
}

function secretOf({ instance, model }: Draft): Effective['secretRef'] {
  return instance.spec.authRefs?.find((ref) => ref.provider === model.provider)?.secretRef
}

/** A refusal about the model names the run's field where the run chose it. */
function ofModel(draft: Draft, field: string, reason: RefusalReason, message: string): Refusal {
  return { reason, message, ...(draft.run.spec.model && { field }) }
}

function credentialMissing(draft: Draft): Refusal | undefined {
  const { instance, model } = draft
  if (secretOf(draft) || isOffline(model)) return undefined
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
  return ofModel(draft, 'spec.model', 'ModelNotAllowed', message)
}

function sandboxMissing({ agent, bounds, run, sandboxed, spec }: Draft): Refusal | undefined {
  if (!spec.sandboxPolicy?.required || sandboxed) return undefined
  const lack = agent.sandbox?.enabled ? 'its parent has none, so it may have none' : `agent ${run.spec.agent} has none`
  return { reason: 'SandboxRequired', message: `${nameOf(bounds[0])} requires a sandbox, and ${lack}` }
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
    return { reason: 'ImageNotAllowed', message }
  }
  return undefined
}

/** How a refusal tells that it was not the run's own bounds that forbade it. */
function whose({ bounds }: Draft, forbidding: Bounds): string {
  return forbidding === bounds[0] ? '' : ', and it binds a run above this one'
}

function resourcesExceeded({ agent, bounds, instance, run, sandboxed, spec }: Draft): Refusal | undefined {
  const caps = policyCaps(spec)
  const wishes = [
    ['', agent.resources] as const,
    ...(sandboxed ? [['sandbox.', agent.sandbox?.resources] as const] : []),
  ]
  for (const [prefix, wish] of wishes) {
    const problem = wishAbove(wish, caps)
    if (!problem) continue
    const field = `spec.agents.${run.spec.agent}.${prefix}${problem.path}`
    const message = `${field} of instance ${instance.metadata.name}: ${problem.message}, the most that ${nameOf(bounds[0])} allows`
    return { reason: 'ResourcesExceeded', message }
  }
  return undefined
}

function runtimeClassInConflict({ above, bounds, spec }: Draft): Refusal | undefined {
  const wanted = spec.sandboxPolicy?.runtimeClassName
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
