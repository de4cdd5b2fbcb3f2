import { isDeepStrictEqual } from 'node:util'
import { ClawError } from '#core/errors'
import {
  agentRunSpec,
  type ClawInstance,
  type ClawInstanceSpec,
  type ClawPolicy,
  clawInstanceSpec,
  clawInstances,
  clawPolicies,
  clawPolicySpec,
  parseSpec,
  type SkillPack,
  skillPackSpec,
  skillPacks,
} from '#core/kinds'
import { type Kube, secrets } from '#core/kube'
import { bindingPolicy, type Platform, resolveRun, type SkillSource } from '#core/policy'
import type { ReviewRequest } from './review.ts'

/** What admission asks the API server, live: an informer's memory would refuse what was created a moment ago. */
export type Lookups = Pick<Kube, 'find' | 'subjectAccessReview'>

export interface AdmissionContext {
  lookups: Lookups
  platform: Platform
}

/** Resolves where the object may be written; throws ClawError `invalid` or `forbidden`, with its field, where not. */
export type Admission = (request: ReviewRequest, context: AdmissionContext) => Promise<void>

/** By plural, which is the last segment of the path that a webhook configuration calls. */
export const admissions: Readonly<Record<string, Admission>> = {
  agentruns: unlessUnchanged(admitRun),
  clawinstances: unlessUnchanged(admitInstance),
  clawpolicies: unlessUnchanged(async ({ object }) => void parseSpec(clawPolicySpec, object?.spec)),
  skillpacks: unlessUnchanged(async ({ object }) => void parseSpec(skillPackSpec, object?.spec)),
}

/**
 * An object whose spec stays as it was is not judged again: labels, finalizers and owner references must remain
 * writable on objects that a later rule would refuse, or they could never be deleted.
 */
function unlessUnchanged(admit: Admission): Admission {
  return async (request, context) => {
    const writes = request.operation === 'CREATE' || request.operation === 'UPDATE'
    const unchanged = request.oldObject && isDeepStrictEqual(request.object?.spec, request.oldObject.spec)
    if (writes && !unchanged) await admit(request, context)
  }
}

/** A reference to what does not exist yet is no refusal: manifests come in any order, and the run waits. */
async function admitRun({ object, namespace }: ReviewRequest, { lookups, platform }: AdmissionContext): Promise<void> {
  const spec = parseSpec(agentRunSpec, object?.spec)
  const find = lookups.find.bind(lookups)
  const instance = await find<ClawInstance>(clawInstances, { name: spec.instanceRef.name, namespace })
  if (!instance) return
  const packs = instance.spec.skills?.map((ref) => ref.skillPackRef.name) ?? []
  const [policy, ...sources] = await Promise.all([
    find<ClawPolicy>(clawPolicies, { name: bindingPolicy(instance).name, namespace }),
    ...packs.map((name) => find<SkillPack>(skillPacks, { name, namespace })),
  ])
  const skills: Record<string, SkillSource> = Object.fromEntries(
    sources.flatMap((pack) =>
      pack ? [[pack.metadata.name, { configMapName: '', skills: pack.spec.skills }] as const] : [],
    ),
  )
  const resolution = resolveRun({ instance, policy, run: { spec }, skills, platform })
  if ('effective' in resolution) return
  const { field = 'spec.instanceRef', reason, message } = resolution.refused
  throw new ClawError('invalid', `${field}: ${message} (${reason})`, { field })
}

/** Whoever writes an instance lends it rights: each must be the writer's own, when it is named first. */
async function admitInstance(request: ReviewRequest, { lookups }: AdmissionContext): Promise<void> {
  const { object, oldObject, namespace, userInfo } = request
  const spec = parseSpec(clawInstanceSpec, object?.spec)
  const before = oldObject?.spec as Partial<ClawInstanceSpec> | undefined
  const who = { user: userInfo.username, uid: userInfo.uid, groups: userInfo.groups, extra: userInfo.extra, namespace }

  for (const [i, ref] of (spec.authRefs ?? []).entries()) {
    // The provider belongs to it: under another one the same key would be sent elsewhere.
    if (before?.authRefs?.some((known) => isDeepStrictEqual(known, ref))) continue
    const { name } = ref.secretRef
    const field = `spec.authRefs.${i}.secretRef`
    if (!(await lookups.subjectAccessReview({ ...who, verb: 'get', resource: secrets, name })))
      throw new ClawError('forbidden', `${field}: naming Secret ${name} needs the right to get it`, { field })
  }

  const name = spec.policyRef?.name
  if (name !== undefined && name !== before?.policyRef?.name) {
    const field = 'spec.policyRef'
    if (!(await lookups.subjectAccessReview({ ...who, verb: 'use', resource: clawPolicies, name })))
      throw new ClawError('forbidden', `${field}: naming ClawPolicy ${name} needs the verb use on it`, { field })
  }
}
