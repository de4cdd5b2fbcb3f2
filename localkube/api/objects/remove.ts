import { badRequest } from '../api-error.ts'
import { isObject, type Json } from '../json.ts'
import type { Kind } from '../kinds/index.ts'
import type { Transaction } from '../store/index.ts'
import type { DeleteOptions, KubeObject, ObjectMeta } from '../types.ts'
import type { Admission, RequestContext } from './context.ts'
import { notFound, preconditionFailed } from './failures.ts'
import { timestamp } from './metadata.ts'
import { isReadyToGo, keyOf, type Objects, type Place } from './objects.ts'

/** Held by these until the collector has dealt with the dependents. */
export const orphanFinalizer = 'orphan'
export const foregroundFinalizer = 'foregroundDeletion'

/** Deletes an object, or marks it where finalizers, dependents or a grace period come first. */
export async function removeObject(
  objects: Objects,
  admission: Admission,
  context: RequestContext,
  place: Place,
  options: DeleteOptions,
): Promise<{ object: KubeObject; isGone: boolean }> {
  const { kind, namespace, name } = place
  const current = objects.get(place)
  await admission.validate({
    operation: 'DELETE',
    kind,
    subresource: '',
    namespace,
    name,
    object: undefined,
    oldObject: current.object,
    context,
  })
  return objects.store.write((transaction) => {
    const entry = transaction.get(keyOf(place))
    if (!entry) throw notFound(kind, name)
    checkPreconditions(place, entry.object.metadata, options)
    return removeNow(transaction, place, entry.copy(), options, context.dryRun)
  })
}

function removeNow(
  transaction: Transaction,
  place: Place,
  object: KubeObject,
  options: DeleteOptions,
  dryRun: boolean,
): { object: KubeObject; isGone: boolean } {
  const { kind } = place
  const { metadata } = object
  const grace = kind.behaviour.gracePeriod?.(object, options.gracePeriodSeconds) ?? 0
  const finalizers = finalizersFor(kind, metadata, options.propagation)
  const isNew = metadata.deletionTimestamp === undefined
  if (finalizers.length > 0) metadata.finalizers = finalizers
  else delete metadata.finalizers
  if (isNew || grace < (metadata.deletionGracePeriodSeconds ?? 0)) {
    metadata.deletionTimestamp = timestamp(new Date(Date.now() + grace * 1000))
    metadata.deletionGracePeriodSeconds = grace
    if (metadata.generation !== undefined) metadata.generation++
    kind.behaviour.onDelete?.(object)
  }
  const key = keyOf(place)
  if (isReadyToGo(kind, object)) {
    if (!dryRun) transaction.remove(key)
    return { object, isGone: true }
  }
  const before = transaction.get(key)?.object.metadata
  const isUnchanged = !isNew && JSON.stringify(before) === JSON.stringify(metadata)
  if (dryRun || isUnchanged) return { object, isGone: false }
  return { object: transaction.put(key, object).object, isGone: false }
}

/** A later delete without a propagation policy does not undo what an earlier one asked for. */
function finalizersFor(kind: Kind, metadata: ObjectMeta, propagation: DeleteOptions['propagation']): string[] {
  const own = metadata.finalizers ?? []
  const asked = propagation ?? (metadata.deletionTimestamp ? undefined : kind.defaultPropagation)
  if (asked === undefined) return own
  const others = own.filter((finalizer) => finalizer !== orphanFinalizer && finalizer !== foregroundFinalizer)
  if (asked === 'Orphan') return [...others, orphanFinalizer]
  if (asked === 'Foreground') return [...others, foregroundFinalizer]
  return others
}

function checkPreconditions({ kind, name }: Place, metadata: ObjectMeta, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions ?? {}
  if (uid !== undefined && uid !== metadata.uid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`
    throw preconditionFailed(kind, name, why)
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`
    throw preconditionFailed(kind, name, why)
  }
}

/** Reads a `meta/v1` DeleteOptions body together with the query, which wins where both speak. */
export function parseDeleteOptions(body: unknown, query: URLSearchParams): DeleteOptions {
  const given: Json = isObject(body) ? body : {}
  const options: DeleteOptions = {}
  const policy = query.get('propagationPolicy') ?? given.propagationPolicy
  if (policy === 'Background' || policy === 'Foreground' || policy === 'Orphan') options.propagation = policy
  else if (policy)
    throw badRequest(`invalid propagationPolicy ${JSON.stringify(policy)}: must be Background, Foreground or Orphan`)
  else if (given.orphanDependents !== undefined) options.propagation = given.orphanDependents ? 'Orphan' : 'Background'
  const grace = query.get('gracePeriodSeconds') ?? given.gracePeriodSeconds
  if (grace !== undefined && grace !== null) {
    const seconds = Number(grace)
    if (!Number.isInteger(seconds) || seconds < 0)
      throw badRequest('gracePeriodSeconds must be a whole number, 0 or more')
    options.gracePeriodSeconds = seconds
  }
  if (isObject(given.preconditions)) {
    const { uid, resourceVersion } = given.preconditions
    options.preconditions = {
      ...(typeof uid === 'string' ? { uid } : {}),
      ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
    }
  }
  const dryRun = Array.isArray(given.dryRun) && given.dryRun.includes('All')
  if (dryRun) options.dryRun = true
  return options
}
