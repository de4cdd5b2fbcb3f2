import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Bus } from '#core/bus'
import { type ClawInstance, clawInstances, type KubeObject } from '#core/kinds'
import { namespaces, roleBindings, roles, serviceAccounts } from '#core/kube'
import type { Store } from '#core/store'
import { createLogger, type Logger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import { apiServer, type ServerOptions } from '../server.ts'

export interface Served {
  cluster: TestCluster
  base: string
  /** A token of a service account that has these verbs on all our kinds in that namespace. */
  account(namespace: string, name: string, verbs: string[]): Promise<string>
  /** Cuts every connection there is, as a network does. */
  cut(): void
  close(): Promise<void>
}

export interface ServedOptions {
  bus?: () => Bus | undefined
  store?: () => Store | undefined
  meaning?: ServerOptions['meaning']
  limits?: ServerOptions['limits']
  log?: Logger
}

/** The API over a Kubernetes of this process, which has the namespaces `red` and `blue` with an instance `bot` each. */
export async function startServed(options: ServedOptions = {}): Promise<Served> {
  const cluster = await startCluster()
  for (const name of ['red', 'blue']) {
    await cluster.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await cluster.admin.create<ClawInstance>(clawInstances, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawInstance',
      metadata: { name: 'bot', namespace: name },
      spec: {
        agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m' } },
        maxConcurrentRuns: 5,
      },
    })
  }
  const silent = createLogger('test')
  silent.level = 'silent'
  const stop = new AbortController()
  const server = apiServer({
    kube: await cluster.as('k8sclaw-system', 'k8sclaw-apiserver'),
    bus: options.bus ?? (() => undefined),
    log: options.log ?? silent,
    signal: stop.signal,
    ...(options.store && { store: options.store }),
    ...(options.meaning && { meaning: options.meaning }),
    ...(options.limits && { limits: options.limits }),
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    cluster,
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    account: (namespace, name, verbs) => account(cluster, namespace, name, verbs),
    cut: () => server.closeAllConnections(),
    async close() {
      stop.abort()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      await cluster.close()
    },
  }
}

async function account(cluster: TestCluster, namespace: string, name: string, verbs: string[]): Promise<string> {
  const meta = { metadata: { name, namespace } }
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  const resources = ['agentruns', 'clawinstances', 'clawpolicies', 'skillpacks', 'sessions', 'usagereports', 'memories']
  await cluster.admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', ...meta })
  const rules = [{ apiGroups: ['k8sclaw.io'], resources, verbs }]
  await cluster.admin.create(roles, { apiVersion, kind: 'Role', ...meta, rules } as KubeObject)
  await cluster.admin.create(roleBindings, {
    apiVersion,
    kind: 'RoleBinding',
    ...meta,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  } as KubeObject)
  return (await cluster.api.client.mintToken({ namespace, name })).token
}
