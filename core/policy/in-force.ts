import * as z from 'zod'
import { type ClawPolicy, clawPolicySpec, type Effective, type Model, restrictedPolicy } from '#core/kinds'
import { admitsModel, admitsURL } from './allow.ts'
import { type CallFacts, type Judged, judge, nameOf, type Verdict } from './judge.ts'

/**
 * What of a ClawPolicy binds the runs under way, and what is kept of runs, in the form in which the bus holds it. What
 * decides where a run is placed is not part of it: that has happened.
 */
const policyInForce = z.object({
  policy: z.object({ name: z.string(), generation: z.int().min(0) }),
  toolGating: clawPolicySpec.shape.toolGating,
  featureGates: clawPolicySpec.shape.featureGates,
  modelPolicy: clawPolicySpec.shape.modelPolicy,
  retention: clawPolicySpec.shape.retention,
})
export type PolicyInForce = z.infer<typeof policyInForce>

/** The form of a policy as it reads now. */
export function compilePolicy({ metadata, spec }: ClawPolicy): PolicyInForce {
  const { toolGating, featureGates, modelPolicy, retention } = spec
  return {
    policy: { name: metadata.name, generation: metadata.generation ?? 0 },
    toolGating,
    featureGates,
    ...(modelPolicy && { modelPolicy }),
    ...(retention && { retention }),
  }
}

/** What is in force in the place of a policy that was deleted, or that this version cannot read. */
const restricted: PolicyInForce = { policy: { name: '', generation: 0 }, ...restrictedPolicy }

/**
 * What the bus says of a policy: its compiled form, null where it was deleted, undefined where nothing is known, so
 * that what the run was started under decides alone.
 */
export function readPolicyInForce(value: unknown): PolicyInForce | undefined {
  if (value === undefined) return undefined
  const read = policyInForce.safeParse(value)
  return read.success ? read.data : restricted
}

/**
 * May this run call `tool` at this moment? Both what it was started under and its policy as it is now must allow it:
 * an edit takes away, and never gives.
 */
export function judgeNow(
  effective: Judged,
  inForce: PolicyInForce | undefined,
  tool: string,
  facts: CallFacts,
): Verdict {
  const verdict = judge(effective, tool, facts)
  if (verdict.action === 'deny' || !inForce) return verdict
  const now = judge(inForce, tool, facts)
  return now.action === 'deny' ? { action: 'deny', reason: `${now.reason}, as it is now` } : verdict
}

/** What a run was started under, as far as its models go. */
export type ModelBounds = Pick<Effective, 'baseURLs'>

/**
 * May a run ask this model at this URL, at this moment? A model that answers inside the platform has no URL. Which
 * models the run was started with is for the caller to compare.
 */
export function judgeModelNow(
  started: ModelBounds,
  inForce: PolicyInForce | undefined,
  model: Model,
  url: string | undefined,
): Verdict {
  const { allowed, baseURLs } = inForce?.modelPolicy ?? {}
  if (inForce && allowed && !admitsModel(allowed, model)) {
    return deny(`${nameOf(inForce)}, as it is now, does not allow the model ${model.provider}/${model.name}`)
  }
  if (url !== undefined && started.baseURLs && !admitsURL(started.baseURLs, url)) {
    return deny(`the policy of this run does not allow the provider at ${originOf(url)}`)
  }
  if (url !== undefined && inForce && baseURLs && !admitsURL(baseURLs, url)) {
    return deny(`${nameOf(inForce)}, as it is now, does not allow the provider at ${originOf(url)}`)
  }
  return { action: 'allow', reason: inForce ? nameOf(inForce) : 'what the run was started under' }
}

function originOf(url: string): string {
  return URL.parse(url)?.origin ?? 'its address'
}

function deny(reason: string): Verdict {
  return { action: 'deny', reason }
}
