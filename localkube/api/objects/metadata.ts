import { randomInt, randomUUID } from 'node:crypto'
import { type ApiError, badRequest } from '../api-error.ts'
import { equal, type Json, objectAt } from '../json.ts'
import { isLabelValue, isQualifiedName, type Kind, validateName } from '../kinds/index.ts'
import { duplicate, type FieldError, forbidden, invalid } from '../schema/index.ts'
import type { KubeObject, ObjectMeta } from '../types.ts'

/** Without vowels and look-alikes, as Kubernetes makes suffixes, so that they spell nothing. */
const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789'
const maxGeneratedBase = 58
const maxAnnotationBytes = 256 * 1024

/** The present in the API's precision of one second. */
export function timestamp(at = new Date()): string {
  return `${at.toISOString().slice(0, 19)}Z`
}

/** What the server sets on a new object; in place. */
export function prepareMetadata(kind: Kind, object: KubeObject, namespace: string): void {
  const { name, generateName, labels, annotations, finalizers, ownerReferences, ...rest } = object.metadata
  if (rest.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created')
  if (kind.namespaced && rest.namespace && rest.namespace !== namespace) throw namespaceMismatch()
  const metadata: ObjectMeta = {
    name: name || (generateName ? withSuffix(generateName) : ''),
    ...(generateName ? { generateName } : {}),
    ...(kind.namespaced ? { namespace } : {}),
    uid: randomUUID(),
    resourceVersion: '',
    ...(kind.hasGeneration ? { generation: 1 } : {}),
    creationTimestamp: timestamp(),
    ...(isEmpty(labels) ? {} : { labels }),
    ...(isEmpty(annotations) ? {} : { annotations }),
    ...(ownerReferences ? { ownerReferences } : {}),
    ...(finalizers ? { finalizers } : {}),
  }
  object.metadata = metadata
}

export function namespaceMismatch(): ApiError {
  return badRequest('the namespace of the provided object does not match the namespace sent on the request')
}

function withSuffix(base: string): string {
  const suffix = Array.from({ length: 5 }, () => suffixAlphabet[randomInt(suffixAlphabet.length)]).join('')
  return `${base.slice(0, maxGeneratedBase)}${suffix}`
}

function isEmpty(map: Record<string, string> | undefined): boolean {
  return !map || Object.keys(map).length === 0
}

/** What the server set at birth and no update changes; in place. */
export function keepMetadata(object: KubeObject, old: KubeObject): void {
  const { name, namespace, generateName, uid, resourceVersion, generation, creationTimestamp } = old.metadata
  const { deletionTimestamp, deletionGracePeriodSeconds } = old.metadata
  const { labels, annotations, finalizers, ownerReferences } = object.metadata
  object.metadata = {
    name,
    ...(generateName === undefined ? {} : { generateName }),
    ...(namespace === undefined ? {} : { namespace }),
    uid,
    resourceVersion,
    ...(generation === undefined ? {} : { generation }),
    creationTimestamp,
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
    ...(isEmpty(labels) ? {} : { labels }),
    ...(isEmpty(annotations) ? {} : { annotations }),
    ...(ownerReferences && ownerReferences.length > 0 ? { ownerReferences } : {}),
    ...(finalizers && finalizers.length > 0 ? { finalizers } : {}),
  }
}

export function validateMetadata(kind: Kind, object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const { metadata } = object
  const errors = old ? [] : validateName(metadata.name, kind.nameRule)
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!isQualifiedName(key)) errors.push(invalid('metadata.labels', key, nameSentence))
    if (!isLabelValue(value)) {
      errors.push(
        invalid(
          'metadata.labels',
          value,
          value.length > 63
            ? 'must be no more than 63 characters'
            : "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
      )
    }
  }
  let size = 0
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    if (!isQualifiedName(key.toLowerCase())) errors.push(invalid('metadata.annotations', key, nameSentence))
    size += key.length + Buffer.byteLength(value)
  }
  if (size > maxAnnotationBytes) {
    errors.push({
      reason: 'FieldValueTooLong',
      field: 'metadata.annotations',
      detail: `Too long: may not be more than ${maxAnnotationBytes} bytes`,
    })
  }
  return [...errors, ...validateOwners(metadata), ...validateFinalizers(kind, metadata, old?.metadata)]
}

const nameSentence =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

function validateOwners(metadata: ObjectMeta): FieldError[] {
  const errors: FieldError[] = []
  const owners = metadata.ownerReferences ?? []
  const seen = new Set<string>()
  for (const owner of owners) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (!owner[field]) errors.push(invalid(`metadata.ownerReferences.${field}`, '', 'must not be empty'))
    }
    if (owner.uid && seen.has(owner.uid)) errors.push(duplicate('metadata.ownerReferences.uid', owner.uid))
    seen.add(owner.uid)
  }
  if (owners.filter((owner) => owner.controller === true).length > 1) {
    errors.push(invalid('metadata.ownerReferences', owners, 'Only one reference can have Controller set to true'))
  }
  return errors
}

const standardFinalizers = ['kubernetes', 'orphan', 'foregroundDeletion']

function validateFinalizers(kind: Kind, metadata: ObjectMeta, old: ObjectMeta | undefined): FieldError[] {
  // Kinds that came after the first, and definitions of them, may be held by any name.
  const isStrict = !kind.custom && kind.group !== 'apiextensions.k8s.io'
  const errors = (metadata.finalizers ?? []).flatMap((finalizer, index) => {
    if (!isQualifiedName(finalizer)) return [invalid('metadata.finalizers', finalizer, nameSentence)]
    if (!isStrict || finalizer.includes('/') || standardFinalizers.includes(finalizer)) return []
    const why = 'name is neither a standard finalizer name nor is it fully qualified'
    return [invalid(`metadata.finalizers[${index}]`, finalizer, why)]
  })
  if (old?.deletionTimestamp) {
    const added = (metadata.finalizers ?? []).filter((finalizer) => !old.finalizers?.includes(finalizer))
    if (added.length > 0) {
      errors.push(
        forbidden(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((f) => JSON.stringify(f)).join(', ')}}`,
        ),
      )
    }
  }
  return errors
}

/** Whether what counts for metadata.generation differs: all but metadata and status. */
export function specDiffers(a: KubeObject, b: KubeObject): boolean {
  const relevant = ({ metadata: _, status: __, ...rest }: KubeObject): Json => rest
  return !equal(relevant(a), relevant(b))
}

/** Whether an update changes anything at all; resourceVersion aside. */
export function differs(a: KubeObject, b: KubeObject): boolean {
  const without = (object: KubeObject): Json => {
    const { resourceVersion: _, ...metadata } = objectAt(object, 'metadata')
    return { ...object, metadata }
  }
  return !equal(without(a), without(b))
}
