import { isDeepStrictEqual } from 'node:util'
import { type AgentRun, type Bounds, type Effective, type Subagents, subagentPolicy, subagents } from '#core/kinds'
import type { Refusal } from './refusals.ts'

/** How far an agent and a policy that say nothing let runs have runs made for them. */
export const defaultSubagents: Subagents = subagents.parse({})
export const defaultSubagentPolicy: Subagents = subagentPolicy.parse({})

/** How many spawns lie above a run: 0 for one that nobody spawned. */
export function depthOf(run: Pick<AgentRun, 'spec'>): number {
  return run.spec.parent?.depth ?? 0
}

/** Of several limits the lowest in each. */
export function lowest(first: Subagents, ...others: Subagents[]): Subagents {
  const least = (field: keyof Subagents) => Math.min(first[field], ...others.map((one) => one[field]))
  return {
    maxDepth: least('maxDepth'),
    maxConcurrent: least('maxConcurrent'),
    maxChildrenPerAgent: least('maxChildrenPerAgent'),
  }
}

/** The one place where a depth is compared: a run may be as deep as `maxDepth`, and no deeper. */
export function tooDeep(depth: number, { maxDepth }: Subagents): Refusal | undefined {
  if (depth <= maxDepth) return undefined
  const message = `a run at depth ${depth} is deeper than ${maxDepth}, the most that its agent, policy and parents allow`
  return { reason: 'TooDeep', message, field: 'spec.parent.depth' }
}

/** Whether `run` is what it says: a child, one deeper, of this resolved run of the same instance. */
export function wrongParent(run: Pick<AgentRun, 'spec'>, parent: AgentRun | undefined): Refusal | undefined {
  const said = run.spec.parent
  if (!said) return undefined
  const refuse = (message: string): Refusal => ({ reason: 'WrongParent', message, field: 'spec.parent' })
  if (parent?.metadata.name !== said.name || !parent.status?.effective)
    return refuse(`there is no AgentRun ${said.name} that has been resolved`)
  if (parent.spec.instanceRef.name !== run.spec.instanceRef.name)
    return refuse(`AgentRun ${said.name} belongs to another instance, ${parent.spec.instanceRef.name}`)
  if (said.depth !== depthOf(parent) + 1)
    return refuse(`a child of AgentRun ${said.name} has depth ${depthOf(parent) + 1}, not ${said.depth}`)
  return undefined
}

/**
 * Why `parent` may have no further child, when it has had `children` in all: for whoever creates one, before it does.
 * A child that exists is not counted again; how many of them run at once is asked by `mayChildStart`.
 */
export function mayHaveChild(parent: AgentRun, children: number): Refusal | undefined {
  const limits = parent.status?.effective?.subagents ?? { ...defaultSubagents, maxChildrenPerAgent: 0 }
  const deep = tooDeep(depthOf(parent) + 1, limits)
  if (deep || children < limits.maxChildrenPerAgent) return deep
  const message = `AgentRun ${parent.metadata.name} has had ${children} children, and may have ${limits.maxChildrenPerAgent}`
  return { reason: 'TooManyChildren', message, field: 'spec.parent' }
}

/** Whether another child of a run may become Running beside the `running` that are; else it waits. */
export function mayChildStart(parent: Effective, running: number): boolean {
  return running < parent.subagents.maxConcurrent
}

/** The bounds of the runs above `own`, each once, without those that say the same as its own. */
export function boundsAbove(own: Bounds, parent: Effective | undefined): Bounds[] {
  if (!parent) return []
  const above: Bounds[] = []
  for (const bounds of [boundsOf(parent), ...(parent.within ?? [])]) {
    if (![own, ...above].some((known) => isDeepStrictEqual(known, bounds))) above.push(bounds)
  }
  return above
}

function boundsOf({ policy, toolGating, toolPolicy, modelsAllowed, imagesAllowed }: Effective): Bounds {
  return {
    policy,
    toolGating,
    ...(toolPolicy && { toolPolicy }),
    ...(modelsAllowed && { modelsAllowed }),
    ...(imagesAllowed && { imagesAllowed }),
  }
}

/** The gates that are on in both. */
export function gatesOfBoth(
  own: Effective['featureGates'],
  parent: Effective['featureGates'] | undefined,
): Effective['featureGates'] {
  if (!parent) return own
  return Object.fromEntries(
    Object.entries(own).map(([gate, on]) => [gate, on && parent[gate as keyof typeof parent] === true]),
  )
}
