import { createHash } from 'node:crypto'
import { ClawError, isClawError } from '#core/errors'
import type { KubeObject, OwnerReference, Resource, Unborn } from '#core/kinds'
import type { Kube } from './client.ts'

/** The key of an object in queues and caches: `namespace/name`, or `name` for a cluster-wide one. */
export function keyOf(object: { metadata: { name: string; namespace?: string | undefined } }): string {
  const { name, namespace } = object.metadata
  return namespace ? `${namespace}/${name}` : name
}

/**
 * A name as one part of a path. Throws `invalid` for what would make it the path of something else: nothing at all, and
 * dots, which every client of HTTP resolves before it sends them.
 */
export function pathSegment(name: string): string {
  if (name === '' || name === '.' || name === '..')
    throw new ClawError('invalid', `nothing can have the name ${JSON.stringify(name)}`)
  return encodeURIComponent(name)
}

const hashLength = 10

/**
 * A DNS label for a derived object: the parts as far as they fit, and a hash over all of them. The hash is always
 * there, so `a-b` + `c` and `a` + `b-c` differ. What stands in `salt` (an owner's uid) changes only the hash.
 */
export function childName(parts: readonly string[], { salt = '', max = 63 } = {}): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([parts, salt]))
    .digest('hex')
    .slice(0, hashLength)
  const readable = parts
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .replace(/^[-0-9]+/, '')
    .slice(0, max - hashLength - 1)
    .replace(/-+$/, '')
  // A Service's name may not begin with a digit, and one rule for all kinds is easier to remember.
  return readable ? `${readable}-${hash}` : `x${hash}`
}

/** The reference that makes `owner` the controller of a child, so that the child goes when the owner goes. */
export function ownerReference(owner: KubeObject): OwnerReference {
  const { name, uid } = owner.metadata
  if (!uid) throw new RangeError(`${owner.kind} ${name} has no uid: only what exists can own`)
  return { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, controller: true }
}

/** The reference to a child's controller, where it has one. */
export function controllerOf(child: KubeObject): OwnerReference | undefined {
  return child.metadata.ownerReferences?.find((reference) => reference.controller)
}

/** By uid, never by name: a successor of the owner's name owns nothing of its predecessor's. */
export function isOwnedBy(child: KubeObject, owner: KubeObject): boolean {
  return owner.metadata.uid !== undefined && controllerOf(child)?.uid === owner.metadata.uid
}

/**
 * Creates a child of `owner`, or returns the one that exists already. A child of that name that belongs to somebody
 * else is left alone: ClawError `not_ours`.
 */
export async function createOrAdopt<T extends KubeObject>(
  kube: Kube,
  resource: Resource,
  child: Unborn<T> & { metadata: { name: string } },
  owner: KubeObject,
): Promise<{ object: T; created: boolean }> {
  const owned = { ...child, metadata: { ...child.metadata, ownerReferences: [ownerReference(owner)] } }
  try {
    return { object: await kube.create<T>(resource, owned), created: true }
  } catch (error) {
    if (!isClawError(error, 'already_exists')) throw error
  }
  const { name, namespace } = child.metadata
  const existing = await kube.find<T>(resource, { name, namespace })
  if (!existing) throw new ClawError('conflict', `${resource.kind} ${name} was there and is gone; try again`)
  if (isOwnedBy(existing, owner)) return { object: existing, created: false }
  throw new ClawError(
    'not_ours',
    `${resource.kind} ${name} exists and does not belong to ${owner.kind} ${owner.metadata.name}`,
  )
}
