import type { Tokens } from './access/tokens.ts'
import { systemUser } from './access/user.ts'
import { badRequest } from './api-error.ts'
import { noSuchPath } from './http/resources.ts'
import { mintFor } from './http/token-request.ts'
import { parseRevision } from './http/watch.ts'
import { isObject } from './json.ts'
import type { Kind } from './kinds/index.ts'
import type { RequestContext } from './objects/context.ts'
import { type Feed, type FeedEvent, translatorOf } from './objects/feed.ts'
import { inVersion, type Objects, type Place } from './objects/objects.ts'
import { mergePatch } from './patch/index.ts'
import type { Registry } from './registry.ts'
import type {
  DeleteOptions,
  KubeObject,
  LocalClient,
  ObjectInput,
  ObjectKey,
  ResourceRef,
  Selection,
  SyncEvent,
  WatchEvent,
} from './types.ts'

export interface LocalClientServices {
  objects: Objects
  feed: Feed
  registry: Registry
  tokens: Tokens
  remove(context: RequestContext, place: Place, options: DeleteOptions): Promise<unknown>
  closing: AbortSignal
}

/** The in-process client. Whatever it hands out is a copy; callers may change it. */
export function createLocalClient({
  objects,
  feed,
  registry,
  tokens,
  remove,
  closing,
}: LocalClientServices): LocalClient {
  const kindOf = (resource: ResourceRef): Kind => {
    const kind = registry.find(resource.group, resource.version, resource.plural)
    if (!kind) throw noSuchPath()
    return kind
  }
  const placeOf = (resource: ResourceRef, { namespace, name }: ObjectKey): Place => ({
    kind: kindOf(resource),
    namespace: namespace ?? '',
    name,
  })
  const copyOf = <T extends KubeObject>(kind: Kind, object: KubeObject): T =>
    structuredClone(inVersion(kind, object)) as T

  return {
    async get<T extends KubeObject>(resource: ResourceRef, key: ObjectKey) {
      const place = placeOf(resource, key)
      return copyOf<T>(place.kind, objects.get(place).object)
    },
    async list<T extends KubeObject>(resource: ResourceRef, selection: Selection = {}) {
      const kind = kindOf(resource)
      const items = objects.list(kind, selection).map((entry) => copyOf<T>(kind, entry.object))
      return { items, resourceVersion: String(objects.store.revision) }
    },
    async create<T extends KubeObject>(resource: ResourceRef, object: ObjectInput, options = {}) {
      const kind = kindOf(resource)
      const namespace = object.metadata.namespace ?? ''
      const created = await objects.create(contextOf(options), kind, namespace, structuredClone(object))
      return copyOf<T>(kind, created)
    },
    async update<T extends KubeObject>(resource: ResourceRef, object: ObjectInput, options = {}) {
      const { name, namespace } = object.metadata
      if (!name) throw badRequest('an update needs metadata.name')
      const place = placeOf(resource, namespace === undefined ? { name } : { name, namespace })
      const next = (): unknown => structuredClone(object)
      const updated = await objects.replace(contextOf(options), place, next, { ...subresource(options), isPut: true })
      return copyOf<T>(place.kind, updated)
    },
    async patch<T extends KubeObject>(
      resource: ResourceRef,
      key: ObjectKey,
      patch: Record<string, unknown>,
      options = {},
    ) {
      if (!isObject(patch)) throw badRequest('the patch must be an object')
      const place = placeOf(resource, key)
      const updated = await objects.replace(
        contextOf(options),
        place,
        (current) => mergePatch(inVersion(place.kind, current.copy()), structuredClone(patch)),
        { ...subresource(options), isPut: false },
      )
      return copyOf<T>(place.kind, updated)
    },
    async delete(resource, key, options = {}) {
      await remove(contextOf(options), placeOf(resource, key), options)
    },
    watch<T extends KubeObject>(
      resource: ResourceRef,
      options: Selection & { from?: string; signal?: AbortSignal } = {},
    ) {
      const kind = kindOf(resource)
      const translate = translatorOf(kind, options)
      const start = options.from === undefined ? objects.store.revision : parseRevision(options.from)
      const missed = objects
        .changesSince(start)
        .map(translate)
        .filter((event) => event !== undefined)
      return events(kind, missed, options) as AsyncIterable<WatchEvent<T>>
    },
    listThenWatch<T extends KubeObject>(resource: ResourceRef, options: Selection & { signal?: AbortSignal } = {}) {
      const kind = kindOf(resource)
      const existing: FeedEvent[] = objects.list(kind, options).map((entry) => ({ type: 'ADDED', entry }))
      return events(kind, existing, options, String(objects.store.revision)) as AsyncIterable<SyncEvent<T>>
    },
    async mintToken(serviceAccount, options = {}) {
      return mintFor({ tokens, store: objects.store }, serviceAccount, options)
    },
  }

  /** Subscribes at once, so that nothing between the call and the first `next` is lost. */
  function events(
    kind: Kind,
    first: FeedEvent[],
    options: Selection & { signal?: AbortSignal },
    synced?: string,
  ): AsyncIterable<SyncEvent> {
    const signal = options.signal ? AbortSignal.any([options.signal, closing]) : closing
    const queue: SyncEvent[] = first.map(toEvent)
    if (synced !== undefined) queue.push({ type: 'SYNCED', resourceVersion: synced })
    let wake: (() => void) | undefined
    const stop = feed.watch(kind, options, (event) => {
      queue.push(toEvent(event))
      wake?.()
    })
    const onAbort = (): void => {
      stop()
      wake?.()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    function toEvent({ type, entry }: FeedEvent): SyncEvent {
      return { type, object: copyOf(kind, entry.object) }
    }
    async function* iterate(): AsyncGenerator<SyncEvent> {
      try {
        while (!signal.aborted) {
          const event = queue.shift()
          if (event) yield event
          else {
            await new Promise<void>((resolve) => {
              wake = resolve
            })
          }
        }
      } finally {
        stop()
        signal.removeEventListener('abort', onAbort)
      }
    }
    return iterate()
  }
}

function contextOf({ dryRun = false }: { dryRun?: boolean }): RequestContext {
  return { user: systemUser, dryRun, fieldValidation: 'Strict', warnings: [] }
}

function subresource(options: { subresource?: 'status' }): { subresource?: string } {
  return options.subresource ? { subresource: options.subresource } : {}
}
