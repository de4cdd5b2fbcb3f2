import type { Change, Entry, EntryKey, Store } from '../store/index.ts'

/** Who owns whom, by uid, kept up to date with every change. */
export class OwnerIndex {
  readonly #byUid = new Map<string, EntryKey>()
  readonly #dependents = new Map<string, Set<string>>()

  constructor(store: Store) {
    for (const entry of store.all()) this.#add(entry)
  }

  apply({ type, entry, previous }: Change): void {
    if (previous) this.#remove(previous)
    if (type !== 'DELETED') this.#add(entry)
  }

  find(uid: string): EntryKey | undefined {
    return this.#byUid.get(uid)
  }

  dependentsOf(uid: string): EntryKey[] {
    return [...(this.#dependents.get(uid) ?? [])].map(parseKey)
  }

  #add(entry: Entry): void {
    const { uid, ownerReferences } = entry.object.metadata
    this.#byUid.set(uid, { resource: entry.resource, namespace: entry.namespace, name: entry.name })
    for (const owner of ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid) ?? new Set()
      this.#dependents.set(owner.uid, dependents.add(keyText(entry)))
    }
  }

  #remove(entry: Entry): void {
    const { uid, ownerReferences } = entry.object.metadata
    this.#byUid.delete(uid)
    for (const owner of ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid)
      dependents?.delete(keyText(entry))
      if (dependents?.size === 0) this.#dependents.delete(owner.uid)
    }
  }
}

/** Neither resources, namespaces nor names hold a slash. */
export function keyText({ resource, namespace, name }: EntryKey): string {
  return `${resource}/${namespace}/${name}`
}

export function parseKey(text: string): EntryKey {
  const [resource = '', namespace = '', name = ''] = text.split('/')
  return { resource, namespace, name }
}
