import { type ClawInstance, defaultPolicyName, durationSeconds, type Effective } from '#core/kinds'
import { urlsOfBoth } from './allow.ts'
import { type Draft, draftOf, type RunParts } from './draft.ts'
import { gatesOfBoth } from './lineage.ts'
import { memoryOf } from './memory.ts'
import { type Refusal, refusalOf } from './refusals.ts'
import { decideResources, defaultResources, policyCaps } from './resources.ts'
import { chooseSkills } from './skills.ts'

/** Model calls a run may make. */
export const maxSteps = 64
/** Input and output tokens a run may use together. */
export const maxTokens = 1_000_000

export type Resolution = { effective: Effective } | { refused: Refusal }

/**
 * The one decision about a run before it starts: everything that later parts need to know, or why it cannot be. The
 * controller writes it into `status.effective`; admission calls it to refuse early. It never throws on what the
 * schemas accept. A child gets what its own instance and policy give it and its parent has as well, never more.
 */
export function resolveRun(parts: RunParts): Resolution {
  const { instance, run } = parts
  const { agents } = instance.spec
  const agent = Object.hasOwn(agents, run.spec.agent) ? agents[run.spec.agent] : undefined
  if (!agent) {
    const known = Object.keys(agents).sort().join(', ')
    const message = `instance ${instance.metadata.name} has no agent ${run.spec.agent}; it has ${known}`
    return { refused: { reason: 'UnknownAgent', message, field: 'spec.agent' } }
  }
  const draft = draftOf(parts, agent)
  const refused = refusalOf(draft)
  return refused ? { refused } : { effective: effectiveOf(draft) }
}

/**
 * Which ClawPolicy binds an instance. `required` tells what its absence means: a policy that the instance names must
 * exist before a run starts, while a namespace without a default policy has the built-in restricted one.
 */
export function bindingPolicy(instance: ClawInstance): { name: string; required: boolean } {
  const named = instance.spec.policyRef?.name
  return { name: named ?? defaultPolicyName, required: named !== undefined }
}

function effectiveOf(draft: Draft): Effective {
  const { above, agent, bounds, images, instance, platform, rules, sandboxed } = draft
  const [own, ...within] = bounds
  const urls = urlsOfBoth(rules.modelPolicy?.baseURLs, above?.baseURLs)
  const runtimeClassName = rules.sandboxPolicy?.runtimeClassName ?? above?.runtimeClassName ?? agent.runtimeClassName
  const judged = {
    ...own,
    featureGates: gatesOfBoth(rules.featureGates, above?.featureGates),
    ...(within.length > 0 && { within }),
  }
  return {
    ...judged,
    agent: draft.run.spec.agent,
    model: draft.model,
    ...(draft.secretRef && { secretRef: draft.secretRef }),
    ...(urls && { baseURLs: [...urls] }),
    image: images.agent,
    ...(agent.command && { command: agent.command }),
    ...(agent.args && { args: agent.args }),
    resources: resourcesOf(draft, 'agent'),
    ...(sandboxed && {
      sandbox: { enabled: true, image: images.sandbox, resources: resourcesOf(draft, 'sandbox') },
    }),
    ...(runtimeClassName !== undefined && { runtimeClassName }),
    ...(instance.spec.imagePullSecrets && { imagePullSecrets: instance.spec.imagePullSecrets }),
    subagents: draft.subagents,
    limits: limitsOf(draft),
    ...chooseSkills(draft.sources, judged, { sandbox: sandboxed }),
    ...memoryOf(instance, draft.run.spec.origin, above),
    isolation: platform.isolation,
  }
}

function resourcesOf({ above, agent, rules }: Draft, container: 'agent' | 'sandbox'): Effective['resources'] {
  const [wishes, parents] =
    container === 'agent' ? [agent.resources, above?.resources] : [agent.sandbox?.resources, above?.sandbox?.resources]
  const caps = [policyCaps(rules), ...(parents ? [parents.limits] : [])]
  return decideResources(wishes, defaultResources[container], caps)
}

function limitsOf({ above, agent, run }: Draft): Effective['limits'] {
  const own = { timeoutSeconds: durationSeconds(run.spec.timeout ?? agent.timeout), maxSteps, maxTokens }
  if (!above) return own
  return {
    timeoutSeconds: Math.min(own.timeoutSeconds, above.limits.timeoutSeconds),
    maxSteps: Math.min(own.maxSteps, above.limits.maxSteps),
    maxTokens: Math.min(own.maxTokens, above.limits.maxTokens),
  }
}
