import type { Bounds, Effective } from '#core/kinds'
import { gateOf, needsSandbox } from './gates.ts'
import { matchesGlob } from './glob.ts'

/** What is decided about a call, and which rule decided it; the reason is shown to agents and people. */
export interface Verdict {
  action: 'allow' | 'deny'
  reason: string
}

/** What is true of the pod and not of the policy. */
export interface CallFacts {
  /** Whether a sandbox stands beside the agent. */
  sandbox: boolean
}

/** The part of `Effective` that a verdict depends on. */
export type Judged = Pick<Effective, 'policy' | 'toolGating' | 'featureGates' | 'toolPolicy' | 'within'>

/**
 * May this run call `tool`? Asked in this order, the first that decides wins: the tool's feature gate, the sandbox it
 * needs, the run's own tool policy (deny, then allow list), the policy's rules (any deny before any allow), and the
 * policy's default action. What these allow, the tool policy and the rules of each run above must allow as well.
 * Whether a tool of that name exists is the caller's question.
 */
export function judge(effective: Judged, tool: string, facts: CallFacts): Verdict {
  const above = effective.within ?? []
  const gate = gateOf(tool)
  if (gate && effective.featureGates[gate] !== true)
    return deny(`feature gate ${gate} is off in ${nameOf(effective)}${above.length > 0 ? ' or above this run' : ''}`)
  if (needsSandbox(tool) && !facts.sandbox) return deny('this run has no sandbox')

  const own = judgeBy(effective, tool)
  if (own.action === 'deny') return own
  for (const bounds of above) {
    const { action, reason } = judgeBy(bounds, tool)
    if (action === 'deny') return deny(`a run above this one may not: ${reason}`)
  }
  return own
}

function judgeBy(bounds: Pick<Bounds, 'policy' | 'toolGating' | 'toolPolicy'>, tool: string): Verdict {
  const { allow: allowList, deny: denyList } = bounds.toolPolicy ?? {}
  const denied = denyList?.find((glob) => matchesGlob(glob, tool))
  if (denied !== undefined) return deny(`the run's toolPolicy denies ${denied}`)
  if (allowList && !allowList.some((glob) => matchesGlob(glob, tool)))
    return deny("the run's toolPolicy does not allow it")

  const rules = bounds.toolGating.rules.filter((rule) => matchesGlob(rule.tool, tool))
  const rule = rules.find(({ action }) => action === 'deny') ?? rules[0]
  if (rule) return { action: rule.action, reason: `rule ${rule.action} ${rule.tool} of ${nameOf(bounds)}` }
  return { action: bounds.toolGating.defaultAction, reason: `default action of ${nameOf(bounds)}` }
}

/** Those of `tools` that this run may call, in their order: what its agent is shown. */
export function offeredTools(effective: Judged, tools: readonly string[], facts: CallFacts): string[] {
  return tools.filter((tool) => judge(effective, tool, facts).action === 'allow')
}

/** A policy as a sentence names it. */
export function nameOf({ policy }: Pick<Bounds, 'policy'>): string {
  return policy.name === '' ? 'the built-in restricted policy' : `policy ${policy.name}`
}

function deny(reason: string): Verdict {
  return { action: 'deny', reason }
}
