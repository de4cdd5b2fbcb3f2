import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Authentication, denied, unauthorized } from '../access/authentication.ts'
import type { Attributes, Rbac } from '../access/rbac.ts'
import { findReview, type Review } from '../access/reviews.ts'
import type { Tokens } from '../access/tokens.ts'
import type { User } from '../access/user.ts'
import { ApiError, badRequest } from '../api-error.ts'
import { isObject } from '../json.ts'
import type { FieldValidation } from '../objects/decode.ts'
import type { Registry } from '../registry.ts'
import type { Log, NodeHooks } from '../types.ts'
import { aggregated, apiGroup, apiGroupList, apiResourceList, apiVersions } from '../wire/discovery.ts'
import type { OpenApi } from '../wire/openapi.ts'
import { mediaType, parseBody, readBody } from './body.ts'
import { serveLogs } from './logs.ts'
import { findTarget, proxyRequest, proxyUpgrade, refuseUpgrade } from './proxy.ts'
import { parseResourceRequest, type ResourceRequest } from './request-info.ts'
import { noSuchPath, type ResourceServices, serveResource } from './resources.ts'
import { asApiError, sendError, sendJson, sendText } from './respond.ts'
import { answerTokenRequest } from './token-request.ts'

export interface HttpServices extends ResourceServices {
  registry: Registry
  authentication: Authentication
  rbac: Rbac
  tokens: Tokens
  openApi: OpenApi
  /** address:port, for clients that ask where else the API is. */
  serverAddress(): string
  hooks(): NodeHooks | undefined
  log: Log
}

const version = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0+localkube',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
}

/** Everybody may ask these, also without a token. */
/** As text, since kubectl shows that. It asks for it when OpenAPI v3 does not tell it how a document is validated. */
const noOpenApiV2 =
  'OpenAPI v2 is not served here: /openapi/v3 is. kubectl asks for it where a document is of a kind that this server does not have (compare `kubectl api-resources`), or is a List (apply what is in it instead, with --- between)'
const publicPaths = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/'])

/** From a request to its answer: who asks, whether he may, and which part of the server knows. */
export class HttpHandler {
  readonly #services: HttpServices

  constructor(services: HttpServices) {
    this.#services = services
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#serve(request, response)
    } catch (error) {
      const failure = asApiError(error)
      const fields = { method: request.method, path: pathOf(request), code: failure.code, message: failure.message }
      // Only what is no ApiError is a defect of this server; the others are its considered answers.
      if (failure !== error) {
        const cause = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.#services.log('error', 'request failed', { ...fields, cause })
      } else if (failure.code >= 500) this.#services.log('warn', 'request refused', fields)
      sendError(response, failure)
    }
  }

  /** WebSockets to Services; nothing else is upgraded. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    // An upgraded connection is no longer the HTTP server's, so closing that would wait for it.
    const end = (): void => {
      socket.destroy()
    }
    const { closing } = this.#services
    closing.addEventListener('abort', end)
    socket.on('close', () => closing.removeEventListener('abort', end))
    try {
      const url = urlOf(request)
      const info = parseResourceRequest('GET', url.pathname, url.searchParams)
      if (info?.plural !== 'services' || info.subresource !== 'proxy' || info.group !== '') {
        throw badRequest('only the service proxy takes upgrade requests')
      }
      this.#authorize(this.#services.authentication.authenticate(request.headers), info)
      proxyUpgrade(this.#target(info, url), request, socket, head)
    } catch (error) {
      refuseUpgrade(socket, error)
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Audit-Id', randomUUID())
    const url = urlOf(request)
    const user = this.#services.authentication.authenticate(request.headers)
    const info = parseResourceRequest(request.method ?? 'GET', url.pathname, url.searchParams)
    if (!info) {
      this.#authorizePath(user, request.method ?? 'GET', url.pathname)
      this.#servePath(url, request, response)
      return
    }
    this.#authorize(user, info)
    await this.#serveResource(user, info, url, request, response)
  }

  async #serveResource(
    user: User,
    info: ResourceRequest,
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { registry, objects, hooks, tokens, closing } = this.#services
    const review = findReview(info.group, info.version, info.plural)
    if (review) {
      await this.#answerReview(review, user, info, request, response)
      return
    }
    const kind = registry.find(info.group, info.version, info.plural)
    if (!kind) throw noSuchPath()
    if (info.group === '' && info.plural === 'services' && info.subresource === 'proxy') {
      await proxyRequest(this.#target(info, url), request, response)
      return
    }
    if (info.group === '' && info.plural === 'pods' && info.subresource === 'log' && info.verb === 'get') {
      const pod = objects.get({ kind, namespace: info.namespace, name: info.name }).object
      await serveLogs(required(hooks()), pod, url.searchParams, response, closing)
      return
    }
    if (info.group === '' && info.plural === 'serviceaccounts' && info.subresource === 'token') {
      if (info.verb !== 'create') throw new ApiError(405, 'MethodNotAllowed', 'a token is asked for with POST')
      const body = parseBody(mediaType(request), await readBody(request))
      const answer = answerTokenRequest({ tokens, store: objects.store }, info.namespace, info.name, body)
      sendJson(response, 201, JSON.stringify(answer))
      return
    }
    const context = {
      user,
      dryRun: parseDryRun(url.searchParams),
      fieldValidation: parseFieldValidation(url.searchParams),
      warnings: [],
    }
    await serveResource(this.#services, kind, { request, response, query: url.searchParams, info, context })
  }

  async #answerReview(
    review: Review,
    user: User,
    info: ResourceRequest,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (info.verb !== 'create') throw new ApiError(405, 'MethodNotAllowed', `${review.plural} can only be created`)
    const body = parseBody(mediaType(request), await readBody(request))
    if (!isObject(body)) throw badRequest(`the body must be a ${review.kind}`)
    const answer = review.answer(this.#services, user, info.namespace, body)
    const typeMeta = { kind: review.kind, apiVersion: `${review.group}/${review.version}` }
    sendJson(response, 201, JSON.stringify({ metadata: {}, ...answer, ...typeMeta }))
  }

  #servePath(url: URL, request: IncomingMessage, response: ServerResponse): void {
    const { registry, openApi, serverAddress } = this.#services
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, '') : url.pathname
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new ApiError(405, 'MethodNotAllowed', `the server does not allow ${String(request.method)} on ${path}`)
    }
    const json = (value: unknown, contentType?: string): void => {
      if (value === undefined) throw noSuchPath()
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      if (contentType === undefined) sendJson(response, 200, text)
      else response.writeHead(200, { 'Content-Type': contentType, Vary: 'Accept' }).end(text)
    }
    if (['/healthz', '/livez', '/readyz'].includes(path)) sendText(response, 200, 'ok')
    else if (path === '/version') json(version)
    else if (path === '/api' || path === '/apis') {
      const found = /g=apidiscovery\.k8s\.io;v=(v2beta1|v2);as=APIGroupDiscoveryList/.exec(request.headers.accept ?? '')
      const isCore = path === '/api'
      if (found?.[1]) {
        const type = `application/json;g=apidiscovery.k8s.io;v=${found[1]};as=APIGroupDiscoveryList`
        json(aggregated(registry, isCore, found[1]), type)
      } else json(isCore ? apiVersions(serverAddress()) : apiGroupList(registry))
    } else if (path === '/openapi/v2') {
      sendText(response, 415, noOpenApiV2)
    } else if (path === '/openapi/v3') json(openApi.index())
    else if (path.startsWith('/openapi/v3/')) json(openApi.document(path.slice('/openapi/v3/'.length)))
    else if (path === '/')
      json({ paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v3', '/readyz', '/version'] })
    else {
      const [, root, first = '', second] = path.split('/')
      if (root === 'api' && second === undefined) json(apiResourceList(registry, '', first))
      else if (root === 'apis' && second === undefined) json(apiGroup(registry, first))
      else if (root === 'apis' && second) json(apiResourceList(registry, first, second))
      else throw noSuchPath()
    }
  }

  #authorizePath(user: User, method: string, path: string): void {
    if (publicPaths.has(path)) return
    this.#require(user, { verb: method.toLowerCase() === 'head' ? 'get' : method.toLowerCase(), path })
  }

  #authorize(user: User, info: ResourceRequest): void {
    const { verb, group, plural: resource, subresource, namespace, name } = info
    if (verb === '') throw new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method')
    this.#require(user, {
      verb,
      group,
      resource,
      subresource,
      namespace,
      name: verb === 'create' && !subresource ? '' : name,
    })
  }

  /** Nobody without a name learns even what is forbidden. */
  #require(user: User, attributes: Attributes): void {
    if (user.groups.includes('system:unauthenticated')) throw unauthorized()
    if (!this.#services.rbac.allows(user, attributes)) throw denied(user, attributes)
  }

  #target(info: ResourceRequest, url: URL): ReturnType<typeof findTarget> {
    const path = `${info.rest || '/'}${url.search}`
    return findTarget(required(this.#services.hooks()), info.namespace, info.name, path)
  }
}

function required(hooks: NodeHooks | undefined): NodeHooks {
  if (!hooks) throw new ApiError(503, 'ServiceUnavailable', 'no node has joined yet', { retryAfterSeconds: 1 })
  return hooks
}

function urlOf(request: IncomingMessage): URL {
  const text = `https://localkube${request.url ?? '/'}`
  if (!URL.canParse(text)) throw badRequest('the request path is not a valid URL')
  return new URL(text)
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?')[0] ?? ''
}

function parseDryRun(query: URLSearchParams): boolean {
  const values = query.getAll('dryRun').filter((value) => value !== '')
  const wrong = values.find((value) => value !== 'All')
  if (wrong !== undefined)
    throw invalidOption(`dryRun: Unsupported value: ${JSON.stringify(wrong)}: supported values: "All"`)
  return values.length > 0
}

function parseFieldValidation(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation') ?? ''
  if (value === 'Strict' || value === 'Ignore') return value
  if (value === '' || value === 'Warn') return 'Warn'
  throw invalidOption(
    `fieldValidation: Unsupported value: ${JSON.stringify(value)}: supported values: "Ignore", "Strict", "Warn"`,
  )
}

function invalidOption(problem: string): ApiError {
  return new ApiError(422, 'Invalid', `the options of the request are invalid: ${problem}`)
}
