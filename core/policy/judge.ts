import type { Effective } from '#core/kinds'
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
export type Judged = Pick<Effective, 'policy' | 'toolGating' | 'featureGates' | 'toolPolicy'>

/**
 * May this run call `tool`? Asked in this order, the first that decides wins: the tool's feature gate, the sandbox it
 * needs, the run's own tool policy (deny, then allow list), the policy's rules (any deny before any allow), and the
 * policy's default action. Whether a tool of that name exists is the caller's question.
 */
export function judge(effective: Judged, tool: string, facts: CallFacts): Verdict {
  const policy = effective.policy.name === '' ? 'the built-in restricted policy' : `policy ${effective.policy.name}`

  const gate = gateOf(tool)
  if (gate && effective.featureGates[gate] !== true) return deny(`feature gate ${gate} is off in ${policy}`)
  if (needsSandbox(tool) && !facts.sandbox) return deny('this run has no sandbox')

  const { allow: allowList, deny: denyList } = effective.toolPolicy ?? {}
  const denied = denyList?.find((glob) => matchesGlob(glob, tool))
  if (denied !== undefined) return deny(`the run's toolPolicy denies ${denied}`)
  if (allowList && !allowList.some((glob) => matchesGlob(glob, tool)))
    return deny("the run's toolPolicy does not allow it")

  const rules = effective.toolGating.rules.filter((rule) => matchesGlob(rule.tool, tool))
  const rule = rules.find(({ action }) => action === 'deny') ?? rules[0]
  if (rule) return { action: rule.action, reason: `rule ${rule.action} ${rule.tool} of ${policy}` }
  return { action: effective.toolGating.defaultAction, reason: `default action of ${policy}` }
}

/** Those of `tools` that this run may call, in their order: what its agent is shown. */
export function offeredTools(effective: Judged, tools: readonly string[], facts: CallFacts): string[] {
  return tools.filter((tool) => judge(effective, tool, facts).action === 'allow')
}

function deny(reason: string): Verdict {
  return { action: 'deny', reason }
}
