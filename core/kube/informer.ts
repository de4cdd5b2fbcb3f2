import { setTimeout as sleep } from 'node:timers/promises'
import { isClawError } from '#core/errors'
import type { KubeObject, Resource } from '#core/kinds'
import type { Kube } from './client.ts'
import { keyOf } from './names.ts'
import { type BackoffOptions, backoffMs } from './queue.ts'
import type { Selection } from './types.ts'

export interface Handlers<T> {
  add?(object: T): void
  update?(object: T, before: T): void
  /** Also for what was deleted while nobody watched; the object is then the last that was seen. */
  delete?(object: T): void
}

export interface InformerOptions<T> extends Omit<Selection, 'signal'> {
  /** Names of indexes and the values under which an object is found. */
  indexers?: Record<string, (object: T) => readonly string[]>
  /** Told of every failure that the informer survives. */
  onError?: (error: unknown) => void
  backoff?: BackoffOptions
  /** Milliseconds of silence after which the connection counts as dead. */
  idleMs?: number
}

/** Reconnects in a row without one event after which everything is listed afresh. */
const relistAfter = 3
/** A watch that lived this long was healthy even if nothing happened. */
const healthyMs = 5_000

/**
 * A local copy of all objects of a selection, kept up to date until its signal aborts. No failure ends it: it resumes
 * where it was, lists afresh where the server no longer knows that place, and tells handlers what changed meanwhile.
 * What it holds may be stale by a moment and belongs to all its readers: never change it.
 */
export class Informer<T extends KubeObject> {
  readonly resource: Resource
  readonly #kube: Kube
  readonly #options: InformerOptions<T>
  readonly #store = new Map<string, T>()
  readonly #indexes = new Map<string, Map<string, Set<string>>>()
  readonly #handlers: Handlers<T>[] = []
  readonly #synced = Promise.withResolvers<void>()
  #hasSynced = false

  constructor(kube: Kube, resource: Resource, options: InformerOptions<T> = {}) {
    this.#kube = kube
    this.resource = resource
    this.#options = options
    for (const name of Object.keys(options.indexers ?? {})) this.#indexes.set(name, new Map())
  }

  /** Whether the first list is in. */
  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** Resolves once the first list is in. */
  async synced(): Promise<void> {
    await this.#synced.promise
  }

  get(key: string): T | undefined {
    return this.#store.get(key)
  }

  list(): T[] {
    return [...this.#store.values()]
  }

  /** The objects that the indexer `index` put under `value`. */
  byIndex(index: string, value: string): T[] {
    const keys = this.#indexes.get(index)?.get(value) ?? []
    return [...keys].flatMap((key) => this.#store.get(key) ?? [])
  }

  /** Handlers are called in order, one event at a time, and get what is there already as `add`. */
  on(handlers: Handlers<T>): void {
    this.#handlers.push(handlers)
    for (const object of this.#store.values()) this.#guard(() => handlers.add?.(object))
  }

  /** Lists and watches until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let version: string | undefined
    let failures = 0
    while (!signal.aborted) {
      const progress = { events: 0, since: performance.now() }
      try {
        version ??= await this.#relist(signal)
        version = await this.#follow(version, signal, progress, (seen) => {
          version = seen
        })
      } catch (error) {
        if (signal.aborted) return
        this.#options.onError?.(error)
        // An old version is no failure of the server: list at once, unless that too keeps failing.
        if (isClawError(error, 'gone')) version = undefined
      }
      if (progress.events > 0 || performance.now() - progress.since > healthyMs) failures = 0
      failures++
      if (failures >= relistAfter) version = undefined
      await sleep(backoffMs(failures, { maxMs: 10_000, ...this.#options.backoff }), undefined, { signal }).catch(
        () => {},
      )
    }
  }

  async #follow(
    from: string,
    signal: AbortSignal,
    progress: { events: number },
    advance: (version: string) => void,
  ): Promise<string> {
    const { namespace, labelSelector, fieldSelector, idleMs } = this.#options
    const selection = { namespace, labelSelector, fieldSelector, idleMs, signal }
    // The server ends each watch after a while, at different times, so that replicas of it share the load again.
    const timeoutSeconds = 240 + Math.floor(Math.random() * 240)
    let version = from
    for await (const event of this.#kube.watch<T>(this.resource, {
      ...selection,
      timeoutSeconds,
      resourceVersion: from,
    })) {
      progress.events++
      if (event.type === 'DELETED') this.#remove(event.object)
      else if (event.type !== 'BOOKMARK') this.#put(event.object)
      version = event.object.metadata.resourceVersion ?? version
      advance(version)
    }
    return version
  }

  async #relist(signal: AbortSignal): Promise<string> {
    const { items, resourceVersion } = await this.#kube.list<T>(this.resource, { ...this.#options, signal })
    const present = new Set(items.map(keyOf))
    for (const [key, object] of this.#store) if (!present.has(key)) this.#remove(object)
    for (const item of items) this.#put(item)
    if (!this.#hasSynced) {
      this.#hasSynced = true
      this.#synced.resolve()
    }
    return resourceVersion
  }

  #put(object: T): void {
    const key = keyOf(object)
    const before = this.#store.get(key)
    if (before && before.metadata.uid !== object.metadata.uid) {
      // Deleted and created again under its name while nobody watched.
      this.#remove(before)
      this.#put(object)
      return
    }
    if (before && before.metadata.resourceVersion === object.metadata.resourceVersion) return
    if (before) this.#index(key, before, false)
    this.#store.set(key, object)
    this.#index(key, object, true)
    for (const handlers of this.#handlers) {
      this.#guard(() => (before ? handlers.update?.(object, before) : handlers.add?.(object)))
    }
  }

  #remove(object: T): void {
    const key = keyOf(object)
    const before = this.#store.get(key)
    if (!before) return
    this.#index(key, before, false)
    this.#store.delete(key)
    for (const handlers of this.#handlers) this.#guard(() => handlers.delete?.(object))
  }

  #index(key: string, object: T, present: boolean): void {
    for (const [name, values] of Object.entries(this.#options.indexers ?? {})) {
      const index = this.#indexes.get(name)
      for (const value of values(object)) {
        const keys = index?.get(value) ?? new Set()
        if (present) keys.add(key)
        else keys.delete(key)
        if (keys.size > 0) index?.set(value, keys)
        else index?.delete(value)
      }
    }
  }

  /** A handler that throws has lost one event; it must not cost everyone else theirs. */
  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#options.onError?.(error)
    }
  }
}
