import { isDeepStrictEqual } from 'node:util'
import { ClawError } from '#core/errors'
import {
  apiVersion,
  type Channel,
  type ClawInstance,
  type ClawInstanceSpec,
  type ClawPolicy,
  clawInstanceSpec,
  clawInstances,
  clawPolicies,
  parseSpec,
} from '#core/kinds'
import { configMaps, secrets } from '#core/kube'
import { bindingPolicy, embeddingsRefused, resolveRun } from '#core/policy'
import type { Admission, AdmissionContext } from './context.ts'
import { checkReferences, type Reference } from './references.ts'
import type { ReviewRequest } from './review.ts'

const unnamed = { apiVersion, kind: clawInstances.kind } satisfies Partial<ClawInstance>
type Before = Partial<ClawInstanceSpec> | undefined

/** Whoever writes an instance lends it rights: each must be the writer's own, when it is named first. */
export const admitInstance: Admission = async (request, context) => {
  const spec = parseSpec(clawInstanceSpec, request.object?.spec)
  const before = (request.oldObject?.spec ?? undefined) as Before
  await checkReferences(lent(spec, before), request, context.lookups)
  await checkAgents(spec, before, request, context)
}

/** What the instance names that it did not name before, by the fields in which it does. */
function lent(spec: ClawInstanceSpec, before: Before): Reference[] {
  const get = { verb: 'get', needs: 'the right to get it' }
  const use = { verb: 'use', needs: 'the verb use on it' }
  const policy = spec.policyRef?.name
  return [
    // The provider belongs to a reference: under another one the same key would be sent elsewhere.
    ...added('spec.authRefs', spec.authRefs, before?.authRefs).map(([at, { secretRef }]) => {
      return { ...get, field: `${at}.secretRef`, resource: secrets, name: secretRef.name }
    }),
    ...added('spec.imagePullSecrets', spec.imagePullSecrets, before?.imagePullSecrets).map(([field, { name }]) => {
      return { ...get, field, resource: secrets, name }
    }),
    // So does the type of a channel: its service would be handed what another's bot is known by.
    ...added('spec.channels', spec.channels?.map(botOf), botsOf(before)).map(([at, { secretRef }]) => {
      return { ...get, field: `${at}.secretRef`, resource: secrets, name: secretRef.name }
    }),
    ...added('spec.skills', spec.skills, before?.skills).flatMap(([at, { configMapRef }]) =>
      configMapRef ? [{ ...get, field: `${at}.configMapRef`, resource: configMaps, name: configMapRef.name }] : [],
    ),
    ...(policy !== undefined && policy !== before?.policyRef?.name
      ? [{ ...use, field: 'spec.policyRef', resource: clawPolicies, name: policy }]
      : []),
  ]
}

/** What a channel is known by at its service: whoever may write the instance may change its name and who may speak. */
function botOf({ type, secretRef }: Pick<Channel, 'type' | 'secretRef'>) {
  return { type, secretRef }
}

function botsOf(before: Before): unknown[] {
  const stored: unknown = before?.channels
  return Array.isArray(stored) ? (stored as Channel[]).map(botOf) : []
}

/** What was before is as it was stored, perhaps by a schema of long ago: it is compared with and not relied on. */
function added<T>(field: string, now: readonly T[] = [], before?: unknown): [at: string, reference: T][] {
  const known: unknown[] = Array.isArray(before) ? before : []
  const isNew = (reference: T) => !known.some((other) => isDeepStrictEqual(other, reference))
  return now.flatMap((reference, i) => (isNew(reference) ? [[`${field}.${i}`, reference]] : []))
}

/**
 * Holds agents, and what compares their memories, that are new or changed to the policy that binds, where it exists: those that stay as they are may have
 * become impossible by a later policy, and must not keep anyone from changing the rest.
 */
async function checkAgents(spec: ClawInstanceSpec, before: Before, request: ReviewRequest, context: AdmissionContext) {
  const { name = '', namespace } = request
  const instance = { ...unnamed, metadata: { name, namespace }, spec }
  const sameBinding = before !== undefined && before.policyRef?.name === spec.policyRef?.name
  const changed = Object.entries(spec.agents).filter(
    ([agent, wanted]) => !(sameBinding && isDeepStrictEqual(wanted, before.agents?.[agent])),
  )
  const embeds = spec.memory?.embeddings
  const otherEmbeddings = !(sameBinding && isDeepStrictEqual(embeds, before.memory?.embeddings))
  if (changed.length === 0 && !otherEmbeddings) return
  const policy = await context.lookups.find<ClawPolicy>(clawPolicies, { name: bindingPolicy(instance).name, namespace })
  if (!policy) return
  if (otherEmbeddings) checkEmbeddings(instance, policy)
  // Credentials and isolation are not the policy's.
  const platform = { ...context.platform, allowUnconfined: true }
  const skills = { packs: {}, configMaps: {} }
  for (const [agent] of changed) {
    const run = { spec: { instanceRef: { name }, agent, task: '-' } }
    const resolution = resolveRun({ instance, policy, run, skills, platform })
    if (!('refused' in resolution)) continue
    const { reason, message, agentField } = resolution.refused
    if (agentField === undefined) continue
    const field = `spec.agents.${agent}.${agentField}`
    throw new ClawError('invalid', `${field}: ${message} (${reason})`, { field })
  }
}

function checkEmbeddings(instance: ClawInstance, { metadata, spec }: ClawPolicy): void {
  const modelsAllowed = spec.modelPolicy?.allowed
  const own = { policy: { name: metadata.name, generation: 0 }, ...(modelsAllowed && { modelsAllowed }) }
  const refused = embeddingsRefused(instance, [own])
  const field = refused?.instanceField
  if (refused && field !== undefined)
    throw new ClawError('invalid', `${field}: ${refused.message} (${refused.reason})`, { field })
}
