import { setTimeout as sleep } from 'node:timers/promises'
import { ClawError, errorMessage, isClawError } from '#core/errors'
import type { KubeObject, Resource, Unborn } from '#core/kinds'
import type { Connection } from './connection.ts'
import { type RawRequest, type RawResponse, type Reading, send } from './http.ts'
import { kubernetesRequests, kubernetesSeconds } from './metrics.ts'
import { pathSegment } from './names.ts'
import { statusError } from './status.ts'
import type {
  AccessQuestion,
  Address,
  DeleteOptions,
  List,
  Page,
  PageOptions,
  Patch,
  Selection,
  TokenUser,
  WatchOptions,
} from './types.ts'
import { type WatchEvent, watchEvents } from './watch.ts'

const pageSize = 500
/** Longest page that is read; what would be longer is asked for again with fewer objects. */
const maxPageBytes = 16 * 1024 * 1024

/** How long a busy API server is asked again, which says when it wants to be; below what admission is given. */
const busyPatienceMs = 5_000

/**
 * A small client for any kind. Every failure is a ClawError: `not_found`, `already_exists`, `conflict`, `forbidden`,
 * `unauthenticated`, `gone`, `invalid` (with the field), `too_many`, `unjudged` where admission could not be asked, or
 * `unavailable` where the server does not answer.
 */
export class Kube {
  readonly #connection: Connection
  readonly #beforeWrite: (() => void) | undefined
  readonly #reading: Reading | undefined

  constructor(connection: Connection, { beforeWrite, reading }: { beforeWrite?: () => void; reading?: Reading } = {}) {
    this.#connection = connection
    this.#beforeWrite = beforeWrite
    this.#reading = reading
  }

  /** Origin of the API server. */
  get server(): string {
    return this.#connection.server.href.replace(/\/$/, '')
  }

  /** The namespace that is meant where none is named. */
  get namespace(): string {
    return this.#connection.namespace
  }

  /**
   * The same server as somebody else: only this token, no client certificate. `reading` is asked before more of any
   * answer is read.
   */
  withToken(token: string, reading?: Reading): Kube {
    return new Kube(this.#connection.withToken(token), { ...(reading && { reading }) })
  }

  /** The same client, except that `beforeWrite` is called before every request that is no read, and may refuse it. */
  guarded(beforeWrite: () => void): Kube {
    return new Kube(this.#connection, { beforeWrite, ...(this.#reading && { reading: this.#reading }) })
  }

  /** The bearer token this client sends, where it authenticates by one. */
  async bearerToken(): Promise<string | undefined> {
    const headers = (await this.#connection.options()).headers as Record<string, string> | undefined
    return headers?.Authorization?.match(/^Bearer (.+)$/)?.[1]
  }

  async get<T extends KubeObject = KubeObject>(resource: Resource, at: Address): Promise<T> {
    return await this.#json<T>(this.path(resource, at), {})
  }

  /** Like `get`, but undefined where there is none. */
  async find<T extends KubeObject = KubeObject>(resource: Resource, at: Address): Promise<T | undefined> {
    return await this.get<T>(resource, at).catch((error: unknown) => {
      if (isClawError(error, 'not_found')) return undefined
      throw error
    })
  }

  /** All objects of the selection, in pages; starts again where a page token expired meanwhile. */
  async list<T extends KubeObject = KubeObject>(resource: Resource, selection: Selection = {}): Promise<List<T>> {
    const items: T[] = []
    let resourceVersion = ''
    try {
      for await (const page of this.pages<T>(resource, selection)) {
        for (const item of page.items) items.push(item)
        resourceVersion = page.resourceVersion
      }
      return { items, resourceVersion }
    } catch (error) {
      if (!isClawError(error, 'gone')) throw error
    }
    // All at once, for which there is no token that could expire.
    return await this.page<T>(resource, selection)
  }

  /** The same page by page, for whoever does not need all of it in memory; `gone` where a page token expires. */
  async *pages<T extends KubeObject = KubeObject>(
    resource: Resource,
    selection: Selection = {},
  ): AsyncGenerator<Page<T>> {
    // Where so many were too long once, the next so many would be too.
    let limit: number | undefined = pageSize
    for (let token: string | undefined; ; ) {
      const { page, most }: Fitting<T> = await this.#fitting<T>(resource, selection, { limit, continue: token })
      yield page
      token = page.continue
      if (!token) return
      limit = most
    }
  }

  /**
   * At most `limit` objects of the selection, fewer where these would be too long for one answer, and where the next page
   * begins; `gone` where that place has expired, `too_large` where a single object is too long.
   */
  async page<T extends KubeObject = KubeObject>(
    resource: Resource,
    selection: Selection,
    options: PageOptions = {},
  ): Promise<Page<T>> {
    return (await this.#fitting<T>(resource, selection, options)).page
  }

  /** Creates in the namespace that the object names. */
  async create<T extends KubeObject>(resource: Resource, object: Unborn<T>): Promise<T> {
    const { namespace } = object.metadata
    return await this.#json<T>(this.collection(resource, namespace), { method: 'POST', body: object })
  }

  /** Replaces; `conflict` where the object changed since its resourceVersion. */
  async update<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T> {
    return await this.#json<T>(this.path(resource, object.metadata, subresource), { method: 'PUT', body: object })
  }

  /** A merge patch, or a JSON patch where `patch` is a list of operations. */
  async patch<T extends KubeObject = KubeObject>(
    resource: Resource,
    at: Address,
    patch: Patch,
    subresource?: string,
  ): Promise<T> {
    const type = Array.isArray(patch) ? 'application/json-patch+json' : 'application/merge-patch+json'
    return await this.#json<T>(this.path(resource, at, subresource), {
      method: 'PATCH',
      headers: { 'Content-Type': type },
      body: patch,
    })
  }

  /** Asks for deletion; an object that is not there is `not_found`. */
  async delete(resource: Resource, at: Address, options: DeleteOptions = {}): Promise<void> {
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: options.propagationPolicy ?? 'Background',
      ...(options.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: options.gracePeriodSeconds }),
      ...(options.uid === undefined ? {} : { preconditions: { uid: options.uid } }),
    }
    await this.#json(this.path(resource, at), { method: 'DELETE', body })
  }

  /**
   * One watch, until the server or the signal ends it. It throws `gone` where the resource version is too old and
   * `unavailable` where the connection breaks or falls silent; an informer is what survives those.
   */
  watch<T extends KubeObject = KubeObject>(
    resource: Resource,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>> {
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: options.resourceVersion,
      timeoutSeconds: options.timeoutSeconds,
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
    }
    const path = this.collection(resource, options.namespace)
    const open = (signal: AbortSignal) => send(this.#connection, path, { query, signal })
    return watchEvents<T>(open, { signal: options.signal, idleMs: options.idleMs })
  }

  /** Whose token this is. A token that is not known, or not for one of the audiences, is `authenticated: false`. */
  async tokenReview(token: string, audiences?: readonly string[]): Promise<TokenUser> {
    const answer = await this.#json<{
      status?: {
        authenticated?: boolean
        audiences?: string[]
        user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> }
      }
    }>('/apis/authentication.k8s.io/v1/tokenreviews', {
      method: 'POST',
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, ...(audiences ? { audiences } : {}) },
      },
    })
    const { authenticated = false, user = {}, audiences: matched = [] } = answer.status ?? {}
    return {
      // A server that knows no audiences answers none, and then vouches for none.
      authenticated: authenticated && (!audiences || audiences.some((a) => matched.includes(a))),
      username: user.username ?? '',
      uid: user.uid ?? '',
      groups: user.groups ?? [],
      extra: user.extra ?? {},
      audiences: matched,
    }
  }

  /** Whether somebody may do something. */
  async subjectAccessReview(question: AccessQuestion): Promise<boolean> {
    const { user, groups, uid, extra, resource, ...rest } = question
    const answer = await this.#json<{ status?: { allowed?: boolean } }>(
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      {
        method: 'POST',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          spec: {
            user,
            groups,
            uid,
            extra,
            resourceAttributes: {
              ...rest,
              group: resource.group,
              version: resource.version,
              resource: resource.plural,
            },
          },
        },
      },
    )
    return answer.status?.allowed === true
  }

  /** A token of a service account, as `kubectl create token` makes it. */
  async createToken(
    at: Address,
    options: { audiences?: string[]; expirationSeconds?: number; boundPod?: { name: string; uid: string } } = {},
  ): Promise<string> {
    const { boundPod, ...spec } = options
    const namespace = at.namespace ?? this.namespace
    const path = `/api/v1/namespaces/${pathSegment(namespace)}/serviceaccounts/${pathSegment(at.name)}/token`
    const answer = await this.#json<{ status?: { token?: string } }>(path, {
      method: 'POST',
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: [],
          ...spec,
          ...(boundPod ? { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...boundPod } } : {}),
        },
      },
    })
    if (!answer.status?.token) throw new ClawError('unavailable', `the API server gave no token for ${at.name}`)
    return answer.status.token
  }

  /** Any request as this client's identity, its response as it comes: service proxy, logs, event streams. */
  async request(path: string, request: RawRequest = {}): Promise<RawResponse> {
    return await this.#send(path, request)
  }

  /** Like `request`, but a status of 400 and above is thrown, and the body is parsed. */
  async requestJson<T>(path: string, request: RawRequest = {}): Promise<T> {
    return await this.#json<T>(path, request)
  }

  /** The path of a collection; `*` is all namespaces. */
  collection(resource: Resource, namespace?: string): string {
    const root = resource.group === '' ? '/api' : `/apis/${resource.group}`
    const where =
      resource.namespaced && namespace !== '*' ? `/namespaces/${pathSegment(namespace ?? this.namespace)}` : ''
    return `${root}/${resource.version}${where}/${resource.plural}`
  }

  /** The path of an object. */
  path(resource: Resource, at: Address, subresource?: string): string {
    const object = `${this.collection(resource, at.namespace)}/${pathSegment(at.name)}`
    return subresource ? `${object}/${subresource}` : object
  }

  /** Closes idle connections; requests under way end with `unavailable`. */
  close(): void {
    this.#connection.close()
  }

  async #fitting<T extends KubeObject>(
    resource: Resource,
    selection: Selection,
    { limit, continue: token }: PageOptions,
  ): Promise<Fitting<T>> {
    for (let most = limit; ; ) {
      try {
        return { page: await this.#page<T>(resource, selection, { limit: most, continue: token }), most }
      } catch (error) {
        if (!isClawError(error, 'too_large') || most === undefined || most === 1) throw error
        most = Math.ceil(most / 4)
      }
    }
  }

  async #page<T extends KubeObject>(
    resource: Resource,
    { namespace, labelSelector, fieldSelector, signal }: Selection,
    { limit, continue: token }: PageOptions,
  ): Promise<Page<T>> {
    const page = await this.#json<ListBody<T>>(this.collection(resource, namespace), {
      query: { labelSelector, fieldSelector, limit, continue: token },
      signal,
      ...(limit !== undefined && { maxBytes: maxPageBytes }),
    })
    const { resourceVersion = '', continue: next } = page.metadata ?? {}
    // Items of a list carry neither apiVersion nor kind.
    const apiVersion = resource.group ? `${resource.group}/${resource.version}` : resource.version
    const items = (page.items ?? []).map((item) => ({ ...item, apiVersion, kind: resource.kind }))
    return { items, resourceVersion, ...(next && { continue: next }) }
  }

  async #send(path: string, request: RawRequest): Promise<RawResponse> {
    const method = request.method ?? 'GET'
    if (method !== 'GET') this.#beforeWrite?.()
    const answered = kubernetesSeconds.time()
    let status = 0
    try {
      const response = await send(this.#connection, path, { reading: this.#reading, ...request })
      status = response.status
      return response
    } finally {
      answered({ method })
      kubernetesRequests.add({ method, status: String(status) })
    }
  }

  /** The answer, once the API server has time for the question: what it puts off it has not begun with. */
  async #heard(path: string, request: RawRequest): Promise<{ response: RawResponse; text: string }> {
    const deadline = performance.now() + busyPatienceMs
    for (;;) {
      const response = await this.#send(path, request)
      const text = await response.text()
      const afterMs = response.status === 429 ? 1_000 * Number(response.headers['retry-after']) : Number.NaN
      // Many are put off at once; NaN, where no time is named, is later than any deadline.
      const pauseMs = Math.max(afterMs, 100) * (0.5 + Math.random())
      if (!(performance.now() + pauseMs < deadline)) return { response, text }
      await sleep(pauseMs, undefined, request.signal && { signal: request.signal })
    }
  }

  async #json<T>(path: string, request: RawRequest): Promise<T> {
    const { response, text } = await this.#heard(path, request)
    if (response.status >= 400) throw statusError(response.status, text, `${request.method ?? 'GET'} ${path}`)
    try {
      return JSON.parse(text) as T
    } catch (error) {
      throw new ClawError('unavailable', `${path}: the answer is not JSON: ${errorMessage(error)}`, { cause: error })
    }
  }
}

/** A page, and of how many objects it was asked for so that it was not too long. */
interface Fitting<T> {
  page: Page<T>
  most: number | undefined
}

interface ListBody<T> {
  items?: T[]
  metadata?: { resourceVersion?: string; continue?: string }
}
