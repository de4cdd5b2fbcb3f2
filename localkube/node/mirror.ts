/** A local copy of one collection, kept by a watch, so that decisions read memory and nothing polls the API. */
import type { KubeObject, LocalClient, Log, ResourceRef } from '#localkube/api'

export type Change<T> = { type: 'set'; object: T; previous: T | undefined } | { type: 'deleted'; object: T }

export class Mirror<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #listeners = new Set<(change: Change<T>) => void>()
  /** Resolves once every object that existed at the start is here. */
  readonly synced: Promise<void>
  /** Resolves once the watch has ended, after the signal. */
  readonly ended: Promise<void>

  constructor(client: LocalClient, resource: ResourceRef, signal: AbortSignal, log: Log) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.synced = promise
    this.ended = this.#follow(client, resource, signal, log, resolve)
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyOf(namespace, name))
  }

  all(): T[] {
    return [...this.#objects.values()]
  }

  /** What exists already is told at once. */
  subscribe(listener: (change: Change<T>) => void): void {
    this.#listeners.add(listener)
    for (const object of this.#objects.values()) listener({ type: 'set', object, previous: undefined })
  }

  /** Takes in the answer to a write of ours, so that the next decision does not run on an older copy. */
  assume(object: T): void {
    const previous = this.get(object.metadata.namespace, object.metadata.name)
    if (previous && versionOf(previous) >= versionOf(object)) return
    this.#objects.set(keyOf(object.metadata.namespace, object.metadata.name), object)
    for (const listener of this.#listeners) listener({ type: 'set', object, previous })
  }

  async #follow(
    client: LocalClient,
    resource: ResourceRef,
    signal: AbortSignal,
    log: Log,
    synced: () => void,
  ): Promise<void> {
    while (!signal.aborted) {
      const seen = new Set<string>()
      let listing = true
      try {
        for await (const event of client.listThenWatch<T>(resource, { signal })) {
          if (event.type === 'SYNCED') {
            for (const [key, object] of this.#objects) if (!seen.has(key)) this.#drop(object)
            listing = false
            synced()
          } else if (event.type === 'DELETED') this.#drop(event.object)
          else {
            if (listing) seen.add(keyOf(event.object.metadata.namespace, event.object.metadata.name))
            this.assume(event.object)
          }
        }
      } catch (error) {
        if (signal.aborted) return
        log('warn', 'watch broken, starting again', { resource: resource.plural, error: String(error) })
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  #drop(object: T): void {
    const key = keyOf(object.metadata.namespace, object.metadata.name)
    if (this.#objects.get(key)?.metadata.uid !== object.metadata.uid) return
    this.#objects.delete(key)
    for (const listener of this.#listeners) listener({ type: 'deleted', object })
  }
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`
}

/** localkube's resourceVersions are numbers of one sequence; only in-process code may know that. */
function versionOf(object: KubeObject): number {
  return Number(object.metadata.resourceVersion)
}
