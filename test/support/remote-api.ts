/**
 * A real API server in the shape in which localkube's node wants its own: what turns that node into a kubelet, and a
 * kube-proxy, of a real control plane. Every failure is the ApiError that localkube would throw.
 */
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { createInterface } from 'node:readline'
import {
  ApiError,
  type ApiServer,
  type KubeObject,
  type LocalClient,
  type ObjectKey,
  type ResourceRef,
  type Selection,
  type SyncEvent,
  type WatchEvent,
} from '#localkube/api'

export interface RemoteApi extends Pick<ApiServer, 'url' | 'client' | 'setNodeHooks'> {
  close(): void
}

interface Ask {
  method?: string
  query?: Record<string, string>
  body?: unknown
  type?: string
  signal?: AbortSignal | undefined
}

const jsonPatch = 'application/json-patch+json'
const mergePatch = 'application/merge-patch+json'

export function remoteApi(server: { url: string; caPem: string; token: string }): RemoteApi {
  const agent = new Agent({ keepAlive: true, ca: server.caPem, maxFreeSockets: 64 })

  const open = (path: string, { method = 'GET', query, body, type, signal }: Ask): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
      const headers = {
        Authorization: `Bearer ${server.token}`,
        Accept: 'application/json',
        ...(payload ? { 'Content-Type': type ?? 'application/json', 'Content-Length': payload.byteLength } : {}),
      }
      const text = query && Object.keys(query).length > 0 ? `?${new URLSearchParams(query)}` : ''
      const outgoing = request(server.url + path + text, { method, headers, agent, ...(signal ? { signal } : {}) })
      outgoing.on('error', reject)
      outgoing.on('response', (response) => {
        response.on('error', () => undefined)
        const { statusCode: status = 0 } = response
        if (status < 300) resolve(response)
        else readText(response).then((said) => reject(apiError(status, said)), reject)
      })
      outgoing.end(payload)
    })
  const ask = async <T>(path: string, options: Ask = {}): Promise<T> =>
    JSON.parse(await readText(await open(path, options))) as T

  async function* watch<T extends KubeObject>(
    resource: ResourceRef,
    from: string,
    { signal, ...selection }: Selection & { signal?: AbortSignal },
  ): AsyncGenerator<WatchEvent<T>> {
    let resourceVersion = from
    // The server ends every watch after some minutes; the next goes on where that ended.
    while (!signal?.aborted) {
      const query = { ...queryOf(selection), watch: 'true', allowWatchBookmarks: 'true', resourceVersion }
      const response = await open(collection(resource, selection.namespace), { query, signal })
      for await (const line of createInterface({ input: response })) {
        const { type, object } = JSON.parse(line) as { type: string; object: T }
        if (type === 'ERROR') throw apiError(Number(object.code), JSON.stringify(object))
        resourceVersion = object.metadata.resourceVersion
        if (type !== 'BOOKMARK') yield { type: type as WatchEvent['type'], object }
      }
    }
  }

  const list: LocalClient['list'] = async <T extends KubeObject>(resource: ResourceRef, selection: Selection = {}) => {
    const found = await ask<{ apiVersion: string; kind: string; metadata: { resourceVersion: string }; items: T[] }>(
      collection(resource, selection.namespace),
      { query: queryOf(selection) },
    )
    // In a list the items do not say what they are.
    const { apiVersion, kind } = found
    const items = found.items.map((item) => ({ ...item, apiVersion, kind: kind.replace(/List$/, '') }))
    return { items, resourceVersion: found.metadata.resourceVersion }
  }

  const client: LocalClient = {
    list,
    get: (resource, key) => ask(pathOf(resource, key)),
    create: (resource, object, options = {}) =>
      ask(collection(resource, object.metadata.namespace), {
        method: 'POST',
        body: { apiVersion: versionOf(resource), ...object },
        query: dryRun(options),
      }),
    update: (resource, object, { subresource, ...options } = {}) => {
      const { name = '', namespace, uid } = object.metadata
      const path = pathOf(resource, namespace === undefined ? { name } : { name, namespace })
      if (!subresource) return ask(path, { method: 'PUT', body: object, query: dryRun(options) })
      // The status alone: a whole object from a copy of ours would bring back finalizers that were removed meanwhile.
      // The class of service is decided when a pod is created.
      const { qosClass: _, ...status } = (object.status ?? {}) as Record<string, unknown>
      const patch = [
        ...(uid ? [{ op: 'test', path: '/metadata/uid', value: uid }] : []),
        { op: 'add', path: '/status', value: status },
      ]
      return ask(`${path}/${subresource}`, { method: 'PATCH', type: jsonPatch, body: patch, query: dryRun(options) })
    },
    patch: (resource, key, patch, { subresource, ...options } = {}) =>
      ask(`${pathOf(resource, key)}${subresource ? `/${subresource}` : ''}`, {
        method: 'PATCH',
        type: mergePatch,
        body: patch,
        query: dryRun(options),
      }),
    async delete(resource, key, { propagation = 'Background', gracePeriodSeconds, preconditions, ...options } = {}) {
      const body = { propagationPolicy: propagation, gracePeriodSeconds, preconditions }
      await ask(pathOf(resource, key), { method: 'DELETE', body, query: dryRun(options) })
    },
    async *watch<T extends KubeObject>(
      resource: ResourceRef,
      { from, ...options }: Selection & { from?: string; signal?: AbortSignal } = {},
    ) {
      yield* watch<T>(resource, from ?? (await list(resource, options)).resourceVersion, options)
    },
    async *listThenWatch<T extends KubeObject>(
      resource: ResourceRef,
      options: Selection & { signal?: AbortSignal } = {},
    ): AsyncGenerator<SyncEvent<T>> {
      const { items, resourceVersion } = await list<T>(resource, options)
      for (const object of items) yield { type: 'ADDED', object }
      yield { type: 'SYNCED', resourceVersion }
      yield* watch<T>(resource, resourceVersion, options)
    },
    async mintToken({ namespace, name }, { audiences, expirationSeconds = 3600, pod } = {}) {
      const boundObjectRef = pod && { apiVersion: 'v1', kind: 'Pod', ...pod }
      const body = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds, ...(audiences && { audiences }), ...(boundObjectRef && { boundObjectRef }) },
      }
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
      const { status } = await ask<{ status: { token: string; expirationTimestamp: string } }>(path, {
        method: 'POST',
        body,
      })
      return status
    },
  }
  return { url: server.url, client, setNodeHooks: () => undefined, close: () => agent.destroy() }
}

function versionOf({ group, version }: ResourceRef): string {
  return group ? `${group}/${version}` : version
}

function collection(resource: ResourceRef, namespace?: string): string {
  const root = resource.group ? `/apis/${resource.group}/${resource.version}` : `/api/${resource.version}`
  return `${root}${namespace ? `/namespaces/${namespace}` : ''}/${resource.plural}`
}

function pathOf(resource: ResourceRef, { namespace, name }: ObjectKey): string {
  return `${collection(resource, namespace)}/${name}`
}

function queryOf({ labelSelector, fieldSelector }: Selection): Record<string, string> {
  return { ...(labelSelector && { labelSelector }), ...(fieldSelector && { fieldSelector }) }
}

function dryRun(options: { dryRun?: boolean }): Record<string, string> {
  return options.dryRun ? { dryRun: 'All' } : {}
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** A Status where the server sent one. */
function apiError(code: number, text: string): ApiError {
  try {
    const { reason, message } = JSON.parse(text) as { reason?: string; message?: string }
    return new ApiError(code, reason ?? 'Unknown', message ?? text)
  } catch {
    return new ApiError(code, 'Unknown', text)
  }
}
