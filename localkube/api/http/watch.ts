import type { ServerResponse } from 'node:http'
import { ApiError, badRequest, toStatus } from '../api-error.ts'
import { apiVersionOf, type Kind } from '../kinds/index.ts'
import { type Feed, type FeedEvent, translatorOf } from '../objects/feed.ts'
import type { Objects } from '../objects/objects.ts'
import type { Selection } from '../types.ts'
import { type Rendering, renderObject } from '../wire/table.ts'
import { isTrue } from './request-info.ts'

/** A reader this far behind is disconnected; it resumes by resourceVersion or lists again. */
const maxBacklogBytes = 32 * 1024 * 1024
const bookmarkSeconds = 30

interface WatchRequest {
  kind: Kind
  selection: Selection
  query: URLSearchParams
  rendering: Rendering
}

/** Streams changes as one JSON object a line until the client leaves, time is up or the server closes. */
export function serveWatch(
  objects: Objects,
  feed: Feed,
  request: WatchRequest,
  response: ServerResponse,
  closing: AbortSignal,
): void {
  const { kind, selection, query, rendering } = request
  const stream = new WatchStream(response, kind, rendering)
  const from = query.get('resourceVersion') ?? ''
  const initialEvents = isTrue(query.get('sendInitialEvents'))
  const isFresh = from === '' || from === '0' || initialEvents
  // Nothing can happen between reading the state and subscribing: both are in this one turn of the event loop.
  let revision = objects.store.revision
  let backlog: FeedEvent[]
  try {
    backlog = isFresh
      ? objects.list(kind, selection).map((entry) => ({ type: 'ADDED', entry }))
      : missed(objects, kind, selection, from)
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 410) throw error
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end(`${JSON.stringify({ type: 'ERROR', object: toStatus(error) })}\n`)
    return
  }
  const stop = feed.watch(kind, selection, (event) => {
    revision = event.entry.revision
    stream.event(event)
  })
  response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache, private' })
  response.flushHeaders()
  for (const event of backlog) stream.event(event)
  if (initialEvents && isTrue(query.get('allowWatchBookmarks'))) {
    stream.bookmark(revision, { 'k8s.io/initial-events-end': 'true' })
  }
  const bookmark = (): void => {
    if (isTrue(query.get('allowWatchBookmarks'))) stream.bookmark(objects.store.revision)
  }
  const beat = setInterval(bookmark, bookmarkSeconds * 1000)
  const end = (): void => {
    bookmark()
    response.end()
  }
  const timer = setTimeout(end, timeoutOf(query) * 1000)
  closing.addEventListener('abort', end)
  response.on('close', () => {
    stop()
    clearInterval(beat)
    clearTimeout(timer)
    closing.removeEventListener('abort', end)
  })
}

function missed(objects: Objects, kind: Kind, selection: Selection, from: string): FeedEvent[] {
  const translate = translatorOf(kind, selection)
  return objects
    .changesSince(parseRevision(from))
    .map(translate)
    .filter((event) => event !== undefined)
}

export function parseRevision(text: string): number {
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`resourceVersion: Invalid value: ${JSON.stringify(text)}: must be a number`)
  return Number(text)
}

/** Without a wish, between half an hour and an hour, so that watches started together do not end together. */
function timeoutOf(query: URLSearchParams): number {
  const asked = Number(query.get('timeoutSeconds') ?? 0)
  return asked > 0 ? Math.min(asked, 24 * 3600) : 1800 + Math.random() * 1800
}

class WatchStream {
  readonly #response: ServerResponse
  readonly #kind: Kind
  readonly #rendering: Rendering

  constructor(response: ServerResponse, kind: Kind, rendering: Rendering) {
    this.#response = response
    this.#kind = kind
    this.#rendering = rendering
  }

  event({ type, entry }: FeedEvent): void {
    this.#write(`{"type":"${type}","object":${renderObject(this.#kind, entry, this.#rendering)}}\n`)
  }

  bookmark(revision: number, annotations?: Record<string, string>): void {
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(annotations ? { annotations } : {}),
    }
    const isTable = this.#rendering.as === 'Table'
    const object = isTable
      ? {
          kind: 'Table',
          apiVersion: `meta.k8s.io/${this.#rendering.metaVersion}`,
          metadata,
          columnDefinitions: [],
          rows: [],
        }
      : { kind: this.#kind.kind, apiVersion: apiVersionOf(this.#kind), metadata }
    this.#write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`)
  }

  #write(line: string): void {
    if (this.#response.writableEnded || this.#response.destroyed) return
    if (this.#response.writableLength > maxBacklogBytes) this.#response.destroy()
    else this.#response.write(line)
  }
}
