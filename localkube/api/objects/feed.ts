import { type Kind, resourceName } from '../kinds/index.ts'
import { type Change, Entry, type Store } from '../store/index.ts'
import type { KubeObject, Selection } from '../types.ts'
import { type Filter, filterOf } from './select.ts'

export interface FeedEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  entry: Entry
}

/** Hands each change to those who watch its resource. */
export class Feed {
  readonly #watchers = new Map<string, Set<(change: Change) => void>>()

  constructor(store: Store) {
    store.subscribe((change) => {
      for (const deliver of this.#watchers.get(change.entry.resource) ?? []) deliver(change)
    })
  }

  /** `translate` of the selection is applied; events outside it are not delivered. Returns what ends the watch. */
  watch(kind: Kind, selection: Selection, deliver: (event: FeedEvent) => void): () => void {
    const resource = resourceName(kind)
    const translate = translatorOf(kind, selection)
    const watcher = (change: Change): void => {
      const event = translate(change)
      if (event) deliver(event)
    }
    const watchers = this.#watchers.get(resource) ?? new Set()
    this.#watchers.set(resource, watchers.add(watcher))
    return () => {
      watchers.delete(watcher)
    }
  }
}

/**
 * What a change of any resource means to a watch of `kind` with a selection: an object that begins to match is ADDED to
 * it, and one that no longer matches is DELETED from it, as it was when it last matched.
 */
export function translatorOf(kind: Kind, selection: Selection): (change: Change) => FeedEvent | undefined {
  const resource = resourceName(kind)
  const filter = filterOf(kind, selection)
  return (change) => {
    const { type, entry, previous } = change
    if (entry.resource !== resource) return undefined
    if (selection.namespace !== undefined && entry.namespace !== selection.namespace) return undefined
    return filter ? filtered(change, filter) : { type: type === 'MODIFIED' && !previous ? 'ADDED' : type, entry }
  }
}

function filtered({ type, entry, previous }: Change, matches: Filter): FeedEvent | undefined {
  const did = previous !== undefined && matches(previous.object)
  const does = type !== 'DELETED' && matches(entry.object)
  if (does) return { type: did ? 'MODIFIED' : 'ADDED', entry }
  if (!did) return undefined
  return { type: 'DELETED', entry: type === 'DELETED' ? entry : atRevision(previous, entry.revision) }
}

function atRevision(entry: Entry, revision: number): Entry {
  const object: KubeObject = {
    ...entry.object,
    metadata: { ...entry.object.metadata, resourceVersion: String(revision) },
  }
  return new Entry(entry, revision, JSON.stringify(object), object)
}
