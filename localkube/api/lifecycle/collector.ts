import { systemUser } from '../access/user.ts'
import { ApiError } from '../api-error.ts'
import { apiVersionOf, cleanupFinalizer, type Kind } from '../kinds/index.ts'
import type { RequestContext } from '../objects/context.ts'
import type { Objects, Place } from '../objects/objects.ts'
import { foregroundFinalizer, orphanFinalizer } from '../objects/remove.ts'
import type { Registry } from '../registry.ts'
import type { Change, Entry, EntryKey } from '../store/index.ts'
import type { DeleteOptions, KubeObject, Log } from '../types.ts'
import { keyText, OwnerIndex, parseKey } from './owners.ts'
import { WorkQueue } from './work-queue.ts'

export interface CollectorOptions {
  objects: Objects
  registry: Registry
  remove(context: RequestContext, place: Place, options: DeleteOptions): Promise<unknown>
  log: Log
}

const crds = 'customresourcedefinitions.apiextensions.k8s.io'

/**
 * Ends what should end: dependents of owners that are gone, the contents of namespaces and custom resource definitions
 * that are being deleted. Level-triggered: each key is judged by the state at that moment.
 */
export class Collector {
  readonly #options: CollectorOptions
  readonly #owners: OwnerIndex
  readonly #queue: WorkQueue

  constructor(options: CollectorOptions) {
    this.#options = options
    const { store } = options.objects
    this.#owners = new OwnerIndex(store)
    this.#queue = new WorkQueue(
      (key) => this.#reconcile(parseKey(key)),
      (key, error) =>
        options.log('warn', 'garbage collection failed and is tried again', { key, error: String(error) }),
    )
    for (const entry of store.all()) this.#consider(entry)
    store.subscribe((change) => this.#follow(change))
  }

  close(): Promise<void> {
    return this.#queue.close()
  }

  #follow(change: Change): void {
    this.#owners.apply(change)
    const { type, entry } = change
    if (type !== 'DELETED') {
      this.#consider(entry)
      return
    }
    for (const dependent of this.#owners.dependentsOf(entry.object.metadata.uid)) this.#queue.add(keyText(dependent))
    // Those who wait for this one to go: its owners, its namespace, its definition.
    for (const owner of entry.object.metadata.ownerReferences ?? []) {
      const key = this.#owners.find(owner.uid)
      if (key) this.#reconsider(key)
    }
    if (entry.namespace) this.#reconsider({ resource: 'namespaces', namespace: '', name: entry.namespace })
    this.#reconsider({ resource: crds, namespace: '', name: entry.resource })
  }

  #reconsider(key: EntryKey): void {
    const entry = this.#options.objects.store.get(key)
    if (entry) this.#consider(entry)
  }

  /** Only what is being deleted, or has an owner, can need anything. */
  #consider(entry: Entry): void {
    const { deletionTimestamp, ownerReferences } = entry.object.metadata
    if (deletionTimestamp || (ownerReferences?.length ?? 0) > 0) this.#queue.add(keyText(entry))
  }

  async #reconcile(key: EntryKey): Promise<void> {
    const entry = this.#options.objects.store.get(key)
    if (!entry) return
    const { metadata } = entry.object
    if (metadata.deletionTimestamp) {
      if (key.resource === 'namespaces') await this.#emptyNamespace(entry)
      if (metadata.finalizers?.includes(cleanupFinalizer)) await this.#emptyDefinition(entry)
      if (metadata.finalizers?.includes(orphanFinalizer)) await this.#orphanDependents(entry)
      if (metadata.finalizers?.includes(foregroundFinalizer)) await this.#awaitDependents(entry)
    }
    if ((metadata.ownerReferences?.length ?? 0) > 0) await this.#followOwners(entry)
  }

  /** Goes with its last owner; loses the references to owners that are gone while others remain. */
  async #followOwners(entry: Entry): Promise<void> {
    const { objects } = this.#options
    const references = entry.object.metadata.ownerReferences ?? []
    const states = references.map((reference) => {
      const key = this.#owners.find(reference.uid)
      const owner =
        key && (key.namespace === '' || key.namespace === entry.namespace) ? objects.store.get(key) : undefined
      return { reference, owner: owner?.object }
    })
    const isLeaving = (owner: KubeObject): boolean =>
      owner.metadata.deletionTimestamp !== undefined && (owner.metadata.finalizers ?? []).includes(foregroundFinalizer)
    const staying = states.filter(({ owner }) => owner && !isLeaving(owner))
    if (staying.length === references.length) return
    if (staying.length > 0) {
      const uids = new Set(staying.map(({ reference }) => reference.uid))
      await this.#edit(entry, (object) => {
        object.metadata.ownerReferences = references.filter(({ uid }) => uids.has(uid))
      })
      return
    }
    if (entry.object.metadata.deletionTimestamp) return
    const ownerWaits = states.some(({ owner }) => owner && isLeaving(owner))
    const hasDependents = this.#owners.dependentsOf(entry.object.metadata.uid).length > 0
    await this.#remove(entry, ownerWaits && hasDependents ? 'Foreground' : 'Background')
  }

  async #orphanDependents(entry: Entry): Promise<void> {
    const { uid } = entry.object.metadata
    for (const key of this.#owners.dependentsOf(uid)) {
      const dependent = this.#options.objects.store.get(key)
      if (!dependent) continue
      await this.#edit(dependent, ({ metadata }) => {
        metadata.ownerReferences = (metadata.ownerReferences ?? []).filter((owner) => owner.uid !== uid)
      })
    }
    await this.#dropFinalizer(entry, orphanFinalizer)
  }

  /** Foreground deletion: the owner stays until the dependents that block it are gone. */
  async #awaitDependents(entry: Entry): Promise<void> {
    const { uid } = entry.object.metadata
    const dependents = this.#owners.dependentsOf(uid)
    for (const key of dependents) this.#queue.add(keyText(key))
    const isBlocked = dependents.some((key) =>
      this.#options.objects.store
        .get(key)
        ?.object.metadata.ownerReferences?.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
    )
    if (!isBlocked) await this.#dropFinalizer(entry, foregroundFinalizer)
  }

  async #emptyNamespace(entry: Entry): Promise<void> {
    const { store } = this.#options.objects
    const contents = store.resources().flatMap((resource) => store.list(resource, entry.name))
    for (const content of contents)
      if (!content.object.metadata.deletionTimestamp) await this.#remove(content, 'Background')
    const rest = store.resources().some((resource) => store.list(resource, entry.name).length > 0)
    if (!rest) await this.#finish(entry, (object) => ({ ...object, spec: { finalizers: [] } }))
  }

  async #emptyDefinition(entry: Entry): Promise<void> {
    const { store } = this.#options.objects
    for (const instance of store.list(entry.name)) {
      if (!instance.object.metadata.deletionTimestamp) await this.#remove(instance, 'Background')
    }
    if (store.list(entry.name).length === 0) await this.#dropFinalizer(entry, cleanupFinalizer)
  }

  async #dropFinalizer(entry: Entry, finalizer: string): Promise<void> {
    await this.#finish(entry, (object) => ({
      ...object,
      metadata: {
        ...object.metadata,
        finalizers: (object.metadata.finalizers ?? []).filter((one) => one !== finalizer),
      },
    }))
  }

  /** Removes what held a deleted object, and the object with it when that was the last. */
  #finish(entry: Entry, release: (object: KubeObject) => KubeObject): Promise<void> {
    const kind = this.#options.registry.findByResource(entry.resource)
    return this.#options.objects.release(entry, kind, release)
  }

  async #edit(entry: Entry, change: (object: KubeObject) => void): Promise<void> {
    const place = this.#placeOf(entry)
    if (!place) return
    const next = (current: Entry): KubeObject => {
      const object = current.copy()
      object.apiVersion = apiVersionOf(place.kind)
      change(object)
      return object
    }
    await ignoreMissing(this.#options.objects.replace(systemContext(), place, next, { isPut: false }))
  }

  async #remove(entry: Entry, propagation: 'Background' | 'Foreground'): Promise<void> {
    const place = this.#placeOf(entry)
    if (!place) return
    const preconditions = { uid: entry.object.metadata.uid }
    await ignoreMissing(this.#options.remove(systemContext(), place, { propagation, preconditions }))
  }

  #placeOf(entry: Entry): Place | undefined {
    const kind: Kind | undefined = this.#options.registry.findByResource(entry.resource)
    return kind && { kind, namespace: entry.namespace, name: entry.name }
  }
}

function systemContext(): RequestContext {
  return { user: systemUser, dryRun: false, fieldValidation: 'Ignore', warnings: [] }
}

/** Gone already, or gone and made anew: then there is nothing to do. */
async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!(error instanceof ApiError) || (error.code !== 404 && error.code !== 409)) throw error
  }
}
