import { mkdirSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { Authentication } from './access/authentication.ts'
import { bootstrapRoles } from './access/bootstrap.ts'
import { refuseEscalation } from './access/escalation.ts'
import { loadIdentity, type ServerIdentity } from './access/identity.ts'
import { Rbac } from './access/rbac.ts'
import { Tokens } from './access/tokens.ts'
import { Webhooks } from './admission/index.ts'
import { ApiError } from './api-error.ts'
import { HttpHandler } from './http/server.ts'
import { listAt, objectAt } from './json.ts'
import { assignClusterAddress } from './lifecycle/cluster-addresses.ts'
import { Collector } from './lifecycle/collector.ts'
import { forgetOldEvents } from './lifecycle/events.ts'
import { NamespaceContents } from './lifecycle/namespace-contents.ts'
import { createLocalClient } from './local-client.ts'
import type { RequestContext } from './objects/context.ts'
import { Feed } from './objects/feed.ts'
import { Objects, type Place } from './objects/objects.ts'
import { removeObject } from './objects/remove.ts'
import { Registry } from './registry.ts'
import { resources } from './resources.ts'
import { Store } from './store/index.ts'
import type { ApiOptions, ApiServer, DeleteOptions, LocalClient, NodeHooks, ObjectInput, ResourceRef } from './types.ts'
import { OpenApi } from './wire/openapi.ts'

const eventSweepMs = 5 * 60 * 1000
/** Who says nothing, or sends a request too slowly, is let go. Node waits for two minutes, and for five. */
const patience = {
  handshakeTimeout: 10_000,
  headersTimeout: 20_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 5_000,
}

/** Starts the server; rejects with a sentence when the folder is in use or the port is taken. */
export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const log = options.log ?? (() => undefined)
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 })
  const identity = await loadIdentity(options.dataDir, namesOf(options))
  const store = openStore(options.dataDir)
  const closing = new AbortController()
  let hooks: NodeHooks | undefined

  const registry = new Registry(store)
  const rbac = new Rbac(store)
  const tokens = new Tokens(identity, store)
  const webhooks = new Webhooks(store, () => hooks, log)
  const contents = new NamespaceContents(identity.caPem)
  const prefix = options.servicePrefix ?? '127.96.0.'
  const objects = new Objects({
    store,
    registry,
    admission: webhooks,
    guard: (context, kind, object) => refuseEscalation(rbac, context.user, kind, object),
    allocate(kind, object, transaction) {
      if (kind.group === '' && kind.plural === 'services') assignClusterAddress(prefix, object, transaction)
    },
    created(transaction, kind, object) {
      if (kind.group === '' && kind.plural === 'namespaces') contents.provide(transaction, object.metadata.name)
    },
  })
  const remove = (context: RequestContext, place: Place, how: DeleteOptions): ReturnType<typeof removeObject> =>
    removeObject(objects, webhooks, context, place, how)
  const feed = new Feed(store)
  const services = { objects, feed, registry, tokens, remove, closing: closing.signal }
  const client = createLocalClient(services)
  const handler = new HttpHandler({
    ...services,
    rbac,
    authentication: new Authentication(tokens, rbac),
    openApi: new OpenApi(registry),
    serverAddress: () => `${options.address}:${port}`,
    hooks: () => hooks,
    log,
  })

  const servers: Server[] = []
  let port = options.port
  try {
    await contents.keep(store)
    for (const address of new Set([options.address, options.serviceAddress])) {
      const server = createServer({ ...identity.certificate, ...patience, keepAliveTimeout: 90_000 })
      server.on('request', (request, response) => void handler.handle(request, response))
      server.on('upgrade', (request, socket, head) => handler.upgrade(request, socket, head))
      servers.push(server)
      port = await listen(server, address, port)
    }
    await bootstrap(client, options.serviceAddress, port)
  } catch (error) {
    for (const server of servers) server.close()
    store.close()
    throw error
  }
  const collector = new Collector({ objects, registry, remove, log })
  const sweep = setInterval(() => {
    forgetOldEvents(store, Date.now()).catch((error: unknown) => {
      log('warn', 'old events could not be forgotten', { error: String(error) })
    })
  }, eventSweepMs)
  sweep.unref()
  const url = `https://${options.address}:${port}`

  return {
    url,
    caPem: identity.caPem,
    adminToken: identity.adminToken,
    client,
    kubeconfig: () => kubeconfig(url, identity),
    setNodeHooks(given) {
      hooks = given
    },
    async close() {
      clearInterval(sweep)
      closing.abort()
      await collector.close()
      webhooks.close()
      await Promise.all(servers.map(closeServer))
      store.close()
    },
  }
}

function openStore(dataDir: string): Store {
  const file = join(dataDir, 'state.db')
  try {
    return new Store({ file })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const sentence = /locked|busy/i.test(why)
      ? `the data folder ${dataDir} is in use by another server`
      : `the database ${file} cannot be opened: ${why}`
    throw new Error(sentence, { cause: error })
  }
}

function namesOf({ address, serviceAddress }: ApiOptions): string[] {
  const service = 'kubernetes.default'
  const names = ['localhost', '127.0.0.1', address, serviceAddress, 'kubernetes', service, `${service}.svc`]
  return [...new Set([...names, `${service}.svc.cluster.local`])]
}

function listen(server: Server, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE'
      reject(
        isTaken
          ? new Error(`${address}:${port} is in use by another program; choose another port`, { cause: error })
          : error,
      )
    })
    server.listen(port, address, () => {
      const bound = server.address()
      resolve(typeof bound === 'object' && bound ? bound.port : port)
    })
  })
}

/** Stops taking requests, lets those at hand end, and drops what is idle. */
async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), 500)
  await closed
  clearTimeout(timer)
}

/** What every cluster has from the beginning; what is there already stays as it is. */
async function bootstrap(client: LocalClient, serviceAddress: string, port: number): Promise<void> {
  const ensure = async (resource: ResourceRef, object: ObjectInput): Promise<void> => {
    try {
      await client.create(resource, object)
    } catch (error) {
      if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error
    }
  }
  await Promise.all(['default', 'kube-system'].map((name) => ensure(resources.namespaces, { metadata: { name } })))
  const { clusterRoles, clusterRoleBindings } = bootstrapRoles()
  await Promise.all([
    ...clusterRoles.map((role) => ensure(resources.clusterRoles, role)),
    ...clusterRoleBindings.map((binding) => ensure(resources.clusterRoleBindings, binding)),
    ensureKubernetesService(client, serviceAddress, port),
  ])
}

/** The Service `kubernetes`; made anew when address or port are others than last time, as a clusterIP never changes. */
async function ensureKubernetesService(client: LocalClient, clusterIP: string, port: number): Promise<void> {
  const key = { namespace: 'default', name: 'kubernetes' }
  const selection = { namespace: key.namespace, fieldSelector: `metadata.name=${key.name}` }
  const [existing] = (await client.list(resources.services, selection)).items
  const isCurrent =
    objectAt(existing, 'spec').clusterIP === clusterIP && objectAt(listAt(existing, 'spec', 'ports')[0]).port === port
  if (existing && isCurrent) return
  if (existing) await client.delete(resources.services, key)
  await client.create(resources.services, kubernetesService(clusterIP, port))
}

function kubernetesService(clusterIP: string, port: number): ObjectInput {
  return {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: { clusterIP, ports: [{ name: 'https', port, targetPort: port }] },
  }
}

function kubeconfig(server: string, { caPem, adminToken }: ServerIdentity): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'localkube', cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') } },
    ],
    users: [{ name: 'admin', user: { token: adminToken } }],
    contexts: [{ name: 'localkube', context: { cluster: 'localkube', user: 'admin' } }],
    'current-context': 'localkube',
  })
}
