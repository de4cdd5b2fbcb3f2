import {
  type Agent,
  type AgentRun,
  type ClawInstance,
  type ClawPolicy,
  defaultPolicyName,
  durationSeconds,
  type Effective,
  type Model,
  restrictedPolicy,
} from '#core/kinds'

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

/** One SkillPack as published: the ConfigMap that holds it and the skills therein, each under the key `<name>.md`. */
export interface SkillSource {
  configMapName: string
  skills: readonly { name: string; description: string }[]
}

export type RefusalReason = 'UnknownAgent' | 'NoCredential' | 'NotIsolated' | 'DuplicateSkill'

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
  /** Published packs by name. One that is not here adds no skills: who starts a run waits for its packs first. */
  skills: Readonly<Record<string, SkillSource>>
  platform: Platform
}

/**
 * The one decision about a run before it starts: everything that later parts need to know, or why it cannot be. The
 * controller writes it into `status.effective`; admission calls it to refuse early.
 */
export function resolveRun({ instance, policy, run, skills, platform }: RunParts): Resolution {
  const agents = instance.spec.agents
  const agent = Object.hasOwn(agents, run.spec.agent) ? agents[run.spec.agent] : undefined
  if (!agent) {
    const known = Object.keys(agents).sort().join(', ')
    const message = `instance ${instance.metadata.name} has no agent ${run.spec.agent}; it has ${known}`
    return refuse('UnknownAgent', message, 'spec.agent')
  }

  const model = run.spec.model ?? agent.model
  const where = run.spec.model ? 'spec.model.provider' : undefined
  const secretRef = instance.spec.authRefs?.find((ref) => ref.provider === model.provider)?.secretRef
  if (!secretRef && !isOffline(model)) {
    const message = `instance ${instance.metadata.name} has no authRef for provider ${model.provider}`
    return refuse('NoCredential', message, where)
  }
  if (platform.isolation === 'none' && !platform.allowUnconfined && !isOffline(model)) {
    const message = `nothing isolates runs on this machine (isolation: none), so only provider demo may run, not ${model.provider}`
    return refuse('NotIsolated', message, where)
  }

  const offered = skillsOf(instance, skills)
  if ('refused' in offered) return offered

  const { toolGating, featureGates } = policy?.spec ?? restrictedPolicy
  return {
    effective: {
      agent: run.spec.agent,
      model,
      ...(secretRef && { secretRef }),
      image: agent.image ?? platform.images.agent,
      ...(agent.command && { command: agent.command }),
      ...(agent.args && { args: agent.args }),
      ...sandboxOf(agent, platform),
      policy: { name: policy?.metadata.name ?? '', generation: policy?.metadata.generation ?? 0 },
      toolGating,
      featureGates,
      ...(run.spec.toolPolicy && { toolPolicy: run.spec.toolPolicy }),
      limits: { timeoutSeconds: durationSeconds(run.spec.timeout ?? agent.timeout), maxSteps, maxTokens },
      ...(offered.skills.length > 0 && { skills: offered.skills }),
      isolation: platform.isolation,
    },
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

function sandboxOf(agent: Agent, platform: Platform): Pick<Effective, 'sandbox'> {
  if (!agent.sandbox?.enabled) return {}
  return { sandbox: { enabled: true, image: agent.sandbox.image ?? platform.images.sandbox } }
}

function skillsOf(
  instance: ClawInstance,
  sources: RunParts['skills'],
): { skills: NonNullable<Effective['skills']> } | { refused: Refusal } {
  const packOf = new Map<string, string>()
  const skills: NonNullable<Effective['skills']> = []
  for (const { skillPackRef } of instance.spec.skills ?? []) {
    const source = Object.hasOwn(sources, skillPackRef.name) ? sources[skillPackRef.name] : undefined
    if (!source) continue
    for (const { name, description } of source.skills) {
      const other = packOf.get(name)
      if (other !== undefined) {
        const message = `skill ${name} is in both ${other} and ${skillPackRef.name}, packs of instance ${instance.metadata.name}`
        return refuse('DuplicateSkill', message)
      }
      packOf.set(name, skillPackRef.name)
      skills.push({ name, description, configMap: source.configMapName, key: `${name}.md` })
    }
  }
  return { skills }
}

function refuse(reason: RefusalReason, message: string, field?: string): { refused: Refusal } {
  return { refused: { reason, message, ...(field !== undefined && { field }) } }
}
