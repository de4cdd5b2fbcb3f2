/**
 * A Kubernetes API for tests of one program: localkube's API server in this process, with our CRDs and our RBAC, and no
 * node. The test plays the Job controller and the kubelet with `Kubelet`. `close` leaves nothing.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { type AgentRun, customResourceDefinitions, type KubeObject, type Resource } from '#core/kinds'
import {
  clusterRoleBindings,
  clusterRoles,
  connectKube,
  customResourceDefinitionResource,
  isOwnedBy,
  type Job,
  jobs,
  type Kube,
  namespaces,
  ownerReference,
  type Pod,
  pods,
  roleBindings,
  roles,
  serviceAccounts,
} from '#core/kube'
import { type ApiServer, startApi } from '#localkube/api'

export interface TestCluster {
  api: ApiServer
  /** system:masters */
  admin: Kube
  /** A client that acts as a service account, with what our RBAC gives it. */
  as(namespace: string, account: string): Promise<Kube>
  /** A token of that pod for the identity endpoint. */
  podToken(pod: Pod, audience?: string): Promise<string>
  close(): Promise<void>
}

const root = resolve(import.meta.dirname, '..', '..')
const byKind: Record<string, Resource> = Object.fromEntries(
  [clusterRoleBindings, clusterRoles, namespaces, roleBindings, roles, serviceAccounts].map((r) => [r.kind, r]),
)

export async function startCluster(): Promise<TestCluster> {
  const dataDir = await mkdtemp(join(tmpdir(), 'k8sclaw-api-'))
  const api = await startApi({ dataDir, address: '127.0.0.1', port: 0, serviceAddress: '127.0.0.1' })
  const connect = (token: string) => connectKube({ server: api.url, ca: api.caPem, token })
  const admin = connect(api.adminToken)
  const clients = [admin]
  for (const crd of customResourceDefinitions().values()) {
    await admin.create(customResourceDefinitionResource, crd as unknown as KubeObject)
  }
  for (const object of await rbacObjects()) {
    const resource = byKind[object.kind]
    if (!resource) throw new Error(`config/rbac holds a ${object.kind}, which this test server does not apply`)
    await admin.create(resource, object)
  }
  return {
    api,
    admin,
    async as(namespace, account) {
      const { token } = await api.client.mintToken({ namespace, name: account })
      const client = connect(token)
      clients.push(client)
      return client
    },
    async podToken(pod, audience = 'k8sclaw') {
      const { name, namespace = 'default', uid = '' } = pod.metadata
      const account = { namespace, name: pod.spec?.serviceAccountName ?? 'default' }
      return (await api.client.mintToken(account, { audiences: [audience], pod: { name, uid } })).token
    },
    async close() {
      for (const client of clients) client.close()
      await api.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function rbacObjects(): Promise<KubeObject[]> {
  const folder = join(root, 'config', 'rbac')
  const files = (await readdir(folder)).filter((name) => name !== 'kustomization.yaml')
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const objects = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as KubeObject))
  return objects.toSorted((a, b) => Number(b.kind === 'Namespace') - Number(a.kind === 'Namespace'))
}

/** What a node would do for the Job of a run, done by the test, step by step. */
export class Kubelet {
  readonly #kube: Kube

  constructor(admin: Kube) {
    this.#kube = admin
  }

  /** The Job of a run, once there is one. */
  async jobOf(run: AgentRun): Promise<Job | undefined> {
    const { items } = await this.#kube.list<Job>(jobs, { namespace: run.metadata.namespace })
    return items.find((job) => isOwnedBy(job, run))
  }

  /** Creates the pod of a Job, as the Job controller would. */
  async createPod(job: Job): Promise<Pod> {
    const template = job.spec?.template as { metadata: Pod['metadata']; spec: Pod['spec'] }
    return await this.#kube.create<Pod>(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...template.metadata,
        name: `${job.metadata.name}-x`,
        ...(job.metadata.namespace ? { namespace: job.metadata.namespace } : {}),
        ownerReferences: [ownerReference(job)],
      },
      ...(template.spec ? { spec: template.spec } : {}),
    })
  }

  async running(pod: Pod): Promise<void> {
    const running = { running: { startedAt: new Date().toISOString() } }
    await this.#status(pod, 'Running', running, running)
  }

  /** Agent and bridge have ended, in that order, and so has the pod. */
  async ended(pod: Pod, exitCode: number, more: { reason?: string; signal?: number } = {}): Promise<void> {
    const finishedAt = new Date().toISOString()
    const agent = { terminated: { exitCode, finishedAt, ...more } }
    const phase = exitCode === 0 ? 'Succeeded' : 'Failed'
    await this.#status(pod, phase, agent, { terminated: { exitCode: 0, finishedAt } })
  }

  async #status(pod: Pod, phase: string, agent: object, bridge: object): Promise<void> {
    const container = (name: string, state: object) => ({
      name,
      state,
      ready: 'running' in state,
      restartCount: 0,
      image: 'x',
      imageID: '',
    })
    const status = {
      phase,
      initContainerStatuses: [container('bridge', bridge)],
      containerStatuses: [container('agent', agent)],
    }
    await this.#kube.patch(pods, pod.metadata, { status }, 'status')
  }
}
