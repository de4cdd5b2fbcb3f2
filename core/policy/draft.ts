import {
  type Agent,
  type AgentRun,
  type Bounds,
  type ClawInstance,
  type ClawPolicy,
  type ClawPolicySpec,
  type Effective,
  type Model,
  restrictedPolicy,
} from '#core/kinds'
import { boundsAbove, defaultSubagentPolicy, defaultSubagents, lowest } from './lineage.ts'
import { credentialOf } from './memory.ts'
import { type SkillSources, sourcesOf } from './skills.ts'

/** What the platform says about the machines that runs start on. */
export interface Platform {
  /** What keeps the containers of a run apart from the machine. */
  isolation: 'kubernetes' | 'bubblewrap' | 'none'
  /** Whether models other than demo may run where isolation is none. */
  allowUnconfined: boolean
  /** Images of runs that name none. */
  images: { agent: string; sandbox: string }
}

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

/** What follows from the parts before anything is refused. */
export interface Draft extends RunParts {
  agent: Agent
  /** What the policy says that binds. */
  rules: ClawPolicySpec
  /** What the parent may, of a child. */
  above: Effective | undefined
  model: Model
  secretRef: Effective['secretRef']
  /** The run's own first, then those of the runs above. */
  bounds: [own: Bounds, ...above: Bounds[]]
  /** Whether the run has a sandbox: its agent wants one, and its parent has one. */
  sandboxed: boolean
  images: { agent: string; sandbox: string }
  subagents: Effective['subagents']
  sources: ReturnType<typeof sourcesOf>
}

export function draftOf(parts: RunParts, agent: Agent): Draft {
  const { instance, policy, run, parent, platform } = parts
  const rules = policy?.spec ?? restrictedPolicy
  const above = run.spec.parent && parent?.status?.effective
  const own = ownBounds(policy, rules, run)
  const sources = sourcesOf(instance, parts.skills)
  const model = run.spec.model ?? agent.model
  const imageOfPacks = sources.find(({ source }) => source.image !== undefined)?.source.image
  return {
    ...parts,
    agent,
    rules,
    above,
    model,
    secretRef: credentialOf(instance.spec, model.provider),
    bounds: [own, ...boundsAbove(own, above)],
    sandboxed: agent.sandbox?.enabled === true && (!above || above.sandbox !== undefined),
    images: {
      agent: agent.image ?? platform.images.agent,
      sandbox: agent.sandbox?.image ?? imageOfPacks ?? platform.images.sandbox,
    },
    subagents: lowest(
      agent.subagents ?? defaultSubagents,
      rules.subagentPolicy ?? defaultSubagentPolicy,
      ...(above ? [above.subagents] : []),
    ),
    sources,
  }
}

function ownBounds(policy: ClawPolicy | undefined, rules: ClawPolicySpec, run: Pick<AgentRun, 'spec'>): Bounds {
  const { toolGating, modelPolicy, imagePolicy } = rules
  return {
    policy: { name: policy?.metadata.name ?? '', generation: policy?.metadata.generation ?? 0 },
    toolGating,
    ...(run.spec.toolPolicy && { toolPolicy: run.spec.toolPolicy }),
    ...(modelPolicy?.allowed && { modelsAllowed: modelPolicy.allowed }),
    ...(imagePolicy && { imagesAllowed: imagePolicy.allowed }),
  }
}
