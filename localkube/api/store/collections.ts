import type { Entry, EntryKey } from './entry.ts'

/** The current state: every live entry, by resource, namespace and name, and in the order in which lists show them. */
export class Collections {
  readonly #byResource = new Map<string, Collection>()

  get(key: EntryKey): Entry | undefined {
    return this.#byResource.get(key.resource)?.entries.get(key.namespace)?.get(key.name)
  }

  /** Sorted by namespace, then name. Without a namespace: all of them. */
  list(resource: string, namespace?: string): Entry[] {
    const collection = this.#byResource.get(resource)
    if (!collection) return []
    const namespaces =
      namespace === undefined
        ? [...collection.entries.keys()].sort(compareText)
        : collection.entries.has(namespace)
          ? [namespace]
          : []
    return namespaces.flatMap((name) => collection.inOrder(name))
  }

  resources(): string[] {
    return [...this.#byResource.keys()]
  }

  set(entry: Entry): void {
    let collection = this.#byResource.get(entry.resource)
    if (!collection) {
      collection = new Collection()
      this.#byResource.set(entry.resource, collection)
    }
    collection.set(entry)
  }

  delete(key: EntryKey): void {
    this.#byResource.get(key.resource)?.delete(key)
  }

  *all(): Generator<Entry> {
    for (const collection of this.#byResource.values()) {
      for (const entries of collection.entries.values()) yield* entries.values()
    }
  }
}

class Collection {
  readonly entries = new Map<string, Map<string, Entry>>()
  readonly #names = new Map<string, string[]>()

  set(entry: Entry): void {
    let entries = this.entries.get(entry.namespace)
    if (!entries) {
      entries = new Map()
      this.entries.set(entry.namespace, entries)
    }
    if (!entries.has(entry.name)) this.#names.delete(entry.namespace)
    entries.set(entry.name, entry)
  }

  delete(key: EntryKey): void {
    const entries = this.entries.get(key.namespace)
    if (!entries?.delete(key.name)) return
    this.#names.delete(key.namespace)
    if (entries.size === 0) this.entries.delete(key.namespace)
  }

  /** Sorting is remembered until a name comes or goes, so that repeated lists cost one pass. */
  inOrder(namespace: string): Entry[] {
    const entries = this.entries.get(namespace)
    if (!entries) return []
    let names = this.#names.get(namespace)
    if (!names) {
      names = [...entries.keys()].sort(compareText)
      this.#names.set(namespace, names)
    }
    return names.map((name) => entries.get(name)).filter((entry) => entry !== undefined)
  }
}

/** By code unit, as etcd orders keys; localeCompare would depend on the machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
