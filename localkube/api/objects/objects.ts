import { ApiError, badRequest, gone } from '../api-error.ts'
import { apiVersionOf, type Kind, resourceName } from '../kinds/index.ts'
import type { Registry } from '../registry.ts'
import { type FieldError, prune } from '../schema/index.ts'
import type { Entry, EntryKey, Store, Transaction } from '../store/index.ts'
import type { KubeObject, Selection } from '../types.ts'
import type { Admission, AdmissionRequest, RequestContext } from './context.ts'
import { decodeObject } from './decode.ts'
import { alreadyExists, conflict, forbidden, invalidObject, modified, notFound } from './failures.ts'
import { differs, keepMetadata, namespaceMismatch, prepareMetadata, specDiffers, validateMetadata } from './metadata.ts'
import { filterOf, selectedName } from './select.ts'

export interface Place {
  kind: Kind
  /** '' for cluster-scoped kinds. */
  namespace: string
  name: string
}

export interface ObjectsOptions {
  store: Store
  registry: Registry
  admission: Admission
  /** Refuses writes that would give away more than the user has. */
  guard(context: RequestContext, kind: Kind, object: KubeObject): void
  /** Sets, in the transaction of the create, what must not be given twice. */
  allocate(kind: Kind, object: KubeObject, transaction: Transaction): void
  /** Runs in the transaction that created an object. */
  created(transaction: Transaction, kind: Kind, object: KubeObject): void
}

/** How often a write without a resourceVersion starts again because somebody else was faster. */
const maxAttempts = 20

/** Reading and writing objects by the rules of their kinds: what every client goes through, HTTP or in-process. */
export class Objects {
  readonly store: Store
  readonly #options: ObjectsOptions

  constructor(options: ObjectsOptions) {
    this.store = options.store
    this.#options = options
  }

  get(place: Place): Entry {
    const entry = this.store.get(keyOf(place))
    if (!entry) throw notFound(place.kind, place.name)
    return entry
  }

  list(kind: Kind, selection: Selection): Entry[] {
    const filter = filterOf(kind, selection)
    const name = selectedName(selection)
    const namespace = selection.namespace
    if (name !== undefined && (namespace !== undefined || !kind.namespaced)) {
      const entry = this.store.get(keyOf({ kind, namespace: namespace ?? '', name }))
      return entry && (!filter || filter(entry.object)) ? [entry] : []
    }
    const entries = this.store.list(resourceName(kind), namespace)
    return filter ? entries.filter((entry) => filter(entry.object)) : entries
  }

  async create(context: RequestContext, kind: Kind, namespace: string, body: unknown): Promise<KubeObject> {
    const object = decodeObject(kind, body, context.fieldValidation, context.warnings)
    prepareMetadata(kind, object, namespace)
    if (kind.hasStatus) delete object.status
    kind.behaviour.defaults?.(object)
    kind.behaviour.onCreate?.(object)
    this.#checkNamespace(kind, namespace, object.metadata.name, this.store)
    const request = this.#request('CREATE', { kind, namespace, name: object.metadata.name }, context, object, undefined)
    const admitted = await this.#admit(request, (changed) => {
      changed.metadata = { ...object.metadata, ...editable(changed) }
      if (kind.hasStatus && object.status !== undefined) changed.status = object.status
    })
    this.#validate(kind, admitted, undefined)
    this.#options.guard(context, kind, admitted)
    await this.#options.admission.validate({ ...request, object: admitted })
    if (kind.custom) prune(admitted, kind.schema, () => undefined)
    return this.store.write((transaction) => {
      this.#checkNamespace(kind, namespace, admitted.metadata.name, transaction)
      const key = keyOf({ kind, namespace, name: admitted.metadata.name })
      if (transaction.get(key)) throw alreadyExists(kind, admitted.metadata.name)
      kind.behaviour.inTransaction?.(admitted, transaction, undefined)
      this.#options.allocate(kind, admitted, transaction)
      if (context.dryRun) return admitted
      const { object: stored } = transaction.put(key, admitted)
      this.#options.created(transaction, kind, stored)
      return stored
    })
  }

  /** `next` makes the new body from the current object: a PUT ignores it, a patch changes it. */
  async replace(
    context: RequestContext,
    place: Place,
    next: (current: Entry) => unknown,
    options: { subresource?: string; isPut: boolean },
  ): Promise<KubeObject> {
    for (let attempt = 1; ; attempt++) {
      const current = this.get(place)
      const body = next(current)
      const given = givenVersion(body)
      if (given ? given !== String(current.revision) : options.isPut && !place.kind.unconditionalUpdate) {
        throw given ? conflict(place.kind, place.name, modified) : versionRequired(place)
      }
      const object = await this.#prepareUpdate(context, place, current, body, options.subresource ?? '')
      if (!differs(object, current.object)) return current.object
      const written = await this.#writeUpdate(context, place, current, object)
      if (written) return written
      if ((given && options.isPut) || attempt === maxAttempts) throw conflict(place.kind, place.name, modified)
    }
  }

  /** The changes after `revision`. Throws 410 when they are forgotten, or when no such revision exists yet. */
  changesSince(revision: number): ReturnType<Store['since']> & object {
    const changes = revision > this.store.revision ? undefined : this.store.since(revision)
    if (!changes) throw gone(`too old resource version: ${revision} (${this.store.revision})`)
    return changes
  }

  /** Takes away, from an object that is being deleted, what held it; for the server's own controllers. */
  release(entry: Entry, kind: Kind | undefined, change: (object: KubeObject) => KubeObject): Promise<void> {
    return this.store.write((transaction) => {
      const current = transaction.get(entry)
      if (!current || current.object.metadata.uid !== entry.object.metadata.uid) return
      const { object } = transaction.put(entry, change(current.copy()))
      if (kind && isReadyToGo(kind, object)) transaction.remove(entry)
    })
  }

  async #prepareUpdate(
    context: RequestContext,
    place: Place,
    current: Entry,
    body: unknown,
    subresource: string,
  ): Promise<KubeObject> {
    const { kind } = place
    const old = current.object
    const complete = (object: KubeObject): void => {
      checkIdentity(place, object, old)
      keepMetadata(object, old)
      if (subresource === 'status') keepAllButStatus(object, old)
      else if (kind.hasStatus) keepStatus(object, old)
      if (subresource === '') kind.behaviour.onUpdate?.(object, old)
      kind.behaviour.defaults?.(object)
      if (kind.hasGeneration && specDiffers(object, old)) {
        object.metadata.generation = (old.metadata.generation ?? 0) + 1
      }
    }
    const object = decodeObject(kind, body, context.fieldValidation, context.warnings)
    complete(object)
    const request = { ...this.#request('UPDATE', place, context, object, old), subresource }
    const admitted = await this.#admit(request, complete)
    this.#validate(kind, admitted, old)
    if (differs(admitted, old)) {
      this.#options.guard(context, kind, admitted)
      await this.#options.admission.validate({ ...request, object: admitted })
    }
    if (kind.custom) prune(admitted, kind.schema, () => undefined)
    return admitted
  }

  /** Undefined when the object is no longer what the update was made from. */
  #writeUpdate(
    context: RequestContext,
    place: Place,
    current: Entry,
    object: KubeObject,
  ): Promise<KubeObject | undefined> {
    return this.store.write((transaction) => {
      const key = keyOf(place)
      const now = transaction.get(key)
      if (!now) throw notFound(place.kind, place.name)
      if (now.revision !== current.revision) return undefined
      place.kind.behaviour.inTransaction?.(object, transaction, current.object)
      if (context.dryRun) return object
      const stored = transaction.put(key, object).object
      if (isReadyToGo(place.kind, stored)) transaction.remove(key)
      return stored
    })
  }

  #request(
    operation: AdmissionRequest['operation'],
    place: Place,
    context: RequestContext,
    object: KubeObject | undefined,
    oldObject: KubeObject | undefined,
  ): AdmissionRequest {
    return { operation, ...place, subresource: '', object, oldObject, context }
  }

  /** Asks the mutating webhooks; what they return goes through decoding and defaulting once more. */
  async #admit(request: AdmissionRequest, complete: (object: KubeObject) => void): Promise<KubeObject> {
    const { kind, object, context } = request
    if (!object) throw new Error('only writes of an object are mutated')
    const changed = await this.#options.admission.mutate(request)
    if (changed === undefined) return object
    // Of a custom resource whoever validates sees fields that no schema knows; they are gone when it is stored.
    const decoded = decodeObject(kind, changed, kind.custom ? 'Keep' : 'Ignore', context.warnings)
    kind.behaviour.defaults?.(decoded)
    complete(decoded)
    return decoded
  }

  #validate(kind: Kind, object: KubeObject, old: KubeObject | undefined): void {
    const errors: FieldError[] = validateMetadata(kind, object, old)
    errors.push(...(kind.behaviour.validate?.(object, old) ?? []))
    errors.push(...(kind.custom?.validate(object, old) ?? []))
    if (errors.length > 0)
      throw invalidObject(kind, object.metadata.name || `${object.metadata.generateName ?? ''}`, errors)
  }

  #checkNamespace(kind: Kind, namespace: string, name: string, state: Pick<Transaction, 'get'>): void {
    if (this.#options.registry.isTerminating(kind)) {
      throw new ApiError(405, 'MethodNotAllowed', `create not allowed while custom resource definition is terminating`)
    }
    if (!kind.namespaced) return
    const parent = state.get({ resource: 'namespaces', namespace: '', name: namespace })
    if (!parent) {
      throw new ApiError(404, 'NotFound', `namespaces "${namespace}" not found`, {
        name: namespace,
        kind: 'namespaces',
      })
    }
    if (parent.object.metadata.deletionTimestamp) {
      throw forbidden(
        kind,
        name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      )
    }
  }
}

export function keyOf({ kind, namespace, name }: Place): EntryKey {
  return { resource: resourceName(kind), namespace: kind.namespaced ? namespace : '', name }
}

/** A deleted object goes as soon as nothing holds it any more. */
export function isReadyToGo(kind: Kind, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata
  if (!deletionTimestamp || (finalizers?.length ?? 0) > 0 || (deletionGracePeriodSeconds ?? 0) > 0) return false
  return kind.behaviour.isHeld?.(object) !== true
}

/** Stored objects carry the version they were written in; every version reads the same fields. */
export function inVersion(kind: Kind, object: KubeObject): KubeObject {
  const apiVersion = apiVersionOf(kind)
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion }
}

function givenVersion(body: unknown): string {
  const metadata = typeof body === 'object' && body !== null && 'metadata' in body ? body.metadata : undefined
  const version =
    typeof metadata === 'object' && metadata !== null && 'resourceVersion' in metadata
      ? metadata.resourceVersion
      : undefined
  return typeof version === 'string' && version !== '0' ? version : ''
}

function versionRequired({ kind, name }: Place): ApiError {
  return invalidObject(kind, name, [
    {
      reason: 'FieldValueInvalid',
      field: 'metadata.resourceVersion',
      detail: 'Invalid value: 0: must be specified for an update',
    },
  ])
}

function checkIdentity({ kind, namespace, name }: Place, object: KubeObject, old: KubeObject): void {
  const { metadata } = object
  if (metadata.name && metadata.name !== name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`)
  }
  if (kind.namespaced && metadata.namespace && metadata.namespace !== namespace) throw namespaceMismatch()
  if (metadata.uid && metadata.uid !== old.metadata.uid) {
    throw conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`,
    )
  }
}

function keepStatus(object: KubeObject, old: KubeObject): void {
  if (old.status === undefined) delete object.status
  else object.status = old.status
}

function keepAllButStatus(object: KubeObject, old: KubeObject): void {
  const { status } = object
  for (const key of Object.keys(object)) delete object[key]
  Object.assign(object, structuredClone(old))
  if (status === undefined) delete object.status
  else object.status = status
}

/** What a mutating webhook may change of the metadata of a new object. */
function editable({ metadata }: KubeObject): Partial<KubeObject['metadata']> {
  const { labels, annotations, finalizers, ownerReferences } = metadata
  return {
    ...(labels ? { labels } : {}),
    ...(annotations ? { annotations } : {}),
    ...(finalizers ? { finalizers } : {}),
    ...(ownerReferences ? { ownerReferences } : {}),
  }
}
