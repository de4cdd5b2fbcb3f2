import type { IncomingMessage, ServerResponse } from 'node:http'
import { ApiError, badRequest } from '../api-error.ts'
import { isObject } from '../json.ts'
import type { Kind } from '../kinds/index.ts'
import { resourceName } from '../kinds/index.ts'
import type { RequestContext } from '../objects/context.ts'
import { inspect } from '../objects/decode.ts'
import type { Feed } from '../objects/feed.ts'
import { inVersion, type Objects, type Place } from '../objects/objects.ts'
import { parseDeleteOptions } from '../objects/remove.ts'
import { jsonPatch, mergePatch, strategicMerge } from '../patch/index.ts'
import type { Entry } from '../store/index.ts'
import type { DeleteOptions, KubeObject, Selection } from '../types.ts'
import { negotiate, type Rendering, renderList, renderObject } from '../wire/table.ts'
import { mediaType, parseBody, parseJson, parseYaml, readBody } from './body.ts'
import { listPage } from './list.ts'
import type { ResourceRequest } from './request-info.ts'
import { addWarnings, sendJson } from './respond.ts'
import { serveWatch } from './watch.ts'

export interface ResourceServices {
  objects: Objects
  feed: Feed
  remove(
    context: RequestContext,
    place: Place,
    options: DeleteOptions,
  ): Promise<{ object: KubeObject; isGone: boolean }>
  /** Aborts when the server closes. */
  closing: AbortSignal
}

export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  query: URLSearchParams
  info: ResourceRequest
  context: RequestContext
}

/** Serves the verbs of one kind, and of its status. The caller has authorized the request. */
export async function serveResource(services: ResourceServices, kind: Kind, exchange: Exchange): Promise<void> {
  const { info, request, response, query, context } = exchange
  if (info.subresource !== '' && !(info.subresource === 'status' && kind.hasStatus)) throw noSuchPath()
  if (info.namespace !== '' && !kind.namespaced && kind.plural !== 'namespaces') throw noSuchPath()
  const rendering = negotiate(request.headers.accept, query)
  if (!rendering) {
    throw new ApiError(
      406,
      'NotAcceptable',
      'only the following media types are accepted: application/json, with as=Table or as=PartialObjectMetadata',
    )
  }
  const place: Place = { kind, namespace: kind.namespaced ? info.namespace : '', name: info.name }
  const selection = selectionOf(kind, info, query)
  switch (info.verb) {
    case 'get':
      sendJson(response, 200, renderObject(kind, services.objects.get(place), rendering))
      return
    case 'list': {
      const { entries, metadata } = listPage(services.objects, kind, selection, query)
      sendJson(response, 200, renderList(kind, entries, rendering, metadata))
      return
    }
    case 'watch':
      serveWatch(services.objects, services.feed, { kind, selection, query, rendering }, response, services.closing)
      return
    case 'deletecollection':
      await removeAll(services, kind, selection, exchange)
      return
    case 'delete':
      await removeOne(services, place, exchange)
      return
    default: {
      const { code, object } = await write(services, place, exchange)
      addWarnings(response, context.warnings)
      sendJson(response, code, renderWritten(kind, object, rendering))
    }
  }
}

async function write(
  { objects }: ResourceServices,
  place: Place,
  { info, request, context }: Exchange,
): Promise<{ code: number; object: KubeObject }> {
  const { kind } = place
  const type = mediaType(request)
  const bytes = await readBody(request)
  if (info.verb === 'patch') return { code: 200, object: await patch(objects, place, info, context, type, bytes) }
  const body = parseBody(type, bytes)
  requireType(kind, body)
  if (info.verb === 'update') {
    const options = { subresource: info.subresource, isPut: true }
    return { code: 200, object: await objects.replace(context, place, () => structuredClone(body), options) }
  }
  if (info.name !== '' || info.subresource !== '') throw methodNotAllowed(info, 'a create goes to the collection')
  if (kind.namespaced && info.namespace === '') {
    throw badRequest(
      `an empty namespace may not be set during creation: post to /namespaces/<namespace>/${kind.plural}`,
    )
  }
  return { code: 201, object: await objects.create(context, kind, info.namespace, body) }
}

/** A custom resource says what it is; of a built-in kind the path alone is enough. */
function requireType(kind: Kind, body: unknown): void {
  if (!kind.custom || !isObject(body)) return
  const missing = !body.kind ? 'Kind' : body.apiVersion ? undefined : 'apiVersion'
  if (missing === undefined) return
  inspect(body, '', 0)
  const text = JSON.stringify(body)
  const found =
    missing === 'Kind' ? `Object 'Kind' is missing in '${text}'` : `Object 'apiVersion' is missing in '${text}'`
  throw badRequest(`the object provided is unrecognized (must be of type ${kind.kind}): ${found.slice(0, 512)}`)
}

function patch(
  objects: Objects,
  place: Place,
  info: ResourceRequest,
  context: RequestContext,
  type: string,
  bytes: Buffer,
): Promise<KubeObject> {
  const apply = patcherOf(place.kind, type)
  const body = parseJson(bytes)
  inspect(body, '', 0)
  const next = (current: Entry): unknown => apply(inVersion(place.kind, current.copy()), body)
  return objects.replace(context, place, next, { subresource: info.subresource, isPut: false })
}

function patcherOf(kind: Kind, type: string): (current: KubeObject, body: unknown) => unknown {
  switch (type) {
    case 'application/json-patch+json':
      return jsonPatch
    case 'application/merge-patch+json':
      return (current, body) => mergePatch(current, requireObject(body))
    case 'application/strategic-merge-patch+json':
      if (kind.custom) {
        throw unsupportedPatch('strategic merge patch is for built-in kinds; use a merge patch (--type=merge)')
      }
      return (current, body) => strategicMerge(current, requireObject(body), kind.schema)
    case 'application/apply-patch+yaml':
      throw unsupportedPatch('server-side apply is not supported here; use `kubectl apply` without --server-side')
    default:
      throw unsupportedPatch(
        `${type} is not a patch type; use application/merge-patch+json or application/json-patch+json`,
      )
  }
}

async function removeOne(services: ResourceServices, place: Place, exchange: Exchange): Promise<void> {
  if (exchange.info.subresource) throw methodNotAllowed(exchange.info, 'a subresource cannot be deleted')
  const { object, isGone } = await services.remove(exchange.context, place, await deleteOptions(exchange))
  const { kind } = place
  if (!isGone) {
    sendJson(exchange.response, 200, renderWritten(kind, object, plain))
    return
  }
  const details = {
    name: place.name,
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.plural,
    uid: object.metadata.uid,
  }
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }
  sendJson(exchange.response, 200, JSON.stringify(status))
}

async function removeAll(
  services: ResourceServices,
  kind: Kind,
  selection: Selection,
  exchange: Exchange,
): Promise<void> {
  if (kind.namespaced && selection.namespace === undefined) {
    throw methodNotAllowed(exchange.info, `${resourceName(kind)} are deleted one namespace at a time`)
  }
  const options = await deleteOptions(exchange)
  const entries = services.objects.list(kind, selection)
  for (const { namespace, name } of entries) {
    try {
      await services.remove(exchange.context, { kind, namespace, name }, options)
    } catch (error) {
      // Somebody else deleted it meanwhile, which is what was wanted.
      if (!(error instanceof ApiError) || error.code !== 404) throw error
    }
  }
  sendJson(
    exchange.response,
    200,
    renderList(kind, entries, plain, { resourceVersion: String(services.objects.store.revision) }),
  )
}

async function deleteOptions({ request, query, context }: Exchange): Promise<DeleteOptions> {
  const bytes = await readBody(request)
  const type = mediaType(request)
  const body = type.endsWith('yaml') && bytes.length > 0 ? parseYaml(bytes) : parseBody(type, bytes)
  const options = parseDeleteOptions(body, query)
  if (options.dryRun) context.dryRun = true
  return options
}

const plain: Rendering = { as: 'Object', metaVersion: 'v1', includeObject: 'Metadata' }

function renderWritten(kind: Kind, object: KubeObject, rendering: Rendering): string {
  if (rendering.as === 'PartialObjectMetadata') {
    return JSON.stringify({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata })
  }
  return JSON.stringify(inVersion(kind, object))
}

function selectionOf(kind: Kind, info: ResourceRequest, query: URLSearchParams): Selection {
  const labelSelector = query.get('labelSelector')
  const fieldSelector = query.get('fieldSelector')
  return {
    ...(kind.namespaced && info.namespace ? { namespace: info.namespace } : {}),
    ...(labelSelector ? { labelSelector } : {}),
    ...(fieldSelector ? { fieldSelector } : {}),
  }
}

function requireObject(patchBody: unknown): object {
  if (!isObject(patchBody)) throw badRequest('the patch must be a JSON object')
  return patchBody
}

function unsupportedPatch(sentence: string): ApiError {
  return new ApiError(415, 'UnsupportedMediaType', sentence)
}

function methodNotAllowed(info: ResourceRequest, why: string): ApiError {
  return new ApiError(405, 'MethodNotAllowed', `the server does not allow ${info.verb} here: ${why}`)
}

export function noSuchPath(): ApiError {
  return new ApiError(404, 'NotFound', 'the server could not find the requested resource')
}
