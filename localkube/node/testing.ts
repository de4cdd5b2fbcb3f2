/** A real API server with a real node, for the tests of this folder. */
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ApiServer, type KubeObject, type LogOptions, type ResourceRef, resources, startApi } from '#localkube/api'
import { type ImageTable, type LocalNode, type NodeOptions, startNode } from './index.ts'
import type { Container, ContainerStatus, Job, Pod, PodSpec } from './objects.ts'

export const namespace = 'default'

/** A shell, a Node that sees this machine, and a Node that only sees its pod. */
const images: ImageTable = {
  host: { argv: ['sh'], confined: true },
  open: { argv: [process.execPath, '-e'], confined: false },
  forwarding: {
    argv: ['/image/node', '-e'],
    confined: true,
    forwardPorts: true,
    mounts: [{ source: process.execPath, target: '/image/node', readOnly: true }],
  },
}

export class TestNode {
  readonly folder: string
  readonly api: ApiServer
  readonly prefix: string
  readonly #isolation: NodeOptions['isolation']
  node: LocalNode

  private constructor(
    folder: string,
    api: ApiServer,
    prefix: string,
    isolation: NodeOptions['isolation'],
    node: LocalNode,
  ) {
    this.folder = folder
    this.api = api
    this.prefix = prefix
    this.#isolation = isolation
    this.node = node
  }

  /** `prefix`, such as `127.91.`, is each test file's own, since they run side by side. */
  static async start(prefix: string, isolation: NodeOptions['isolation'] = 'auto'): Promise<TestNode> {
    return TestNode.open(await TestNode.makeFolder(), prefix, isolation)
  }

  static makeFolder(): Promise<string> {
    return mkdtemp(join(tmpdir(), 'localkube-node-'))
  }

  /** On a folder that may have been used before. */
  static async open(folder: string, prefix: string, isolation: NodeOptions['isolation']): Promise<TestNode> {
    const address = '127.0.0.1'
    const addresses = { address, serviceAddress: address, servicePrefix: `${prefix}3.` }
    const api = await startApi({ dataDir: join(folder, 'api'), port: 0, ...addresses })
    const options = { api, dataDir: join(folder, 'node'), images, addressPrefix: prefix }
    const node = await startNode({ ...options, isolation: isolation ?? 'auto' })
    return new TestNode(folder, api, prefix, isolation, node)
  }

  async restart(): Promise<void> {
    await this.node.close()
    const { api, prefix } = this
    const options = { api, dataDir: join(this.folder, 'node'), images, addressPrefix: prefix }
    this.node = await startNode({ ...options, isolation: this.#isolation ?? 'auto' })
  }

  async close(): Promise<void> {
    await this.node.close()
    await this.api.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  get<T extends KubeObject = KubeObject>(resource: ResourceRef, name: string): Promise<T> {
    return this.api.client.get<T>(resource, { namespace, name })
  }

  pod(name: string): Promise<Pod> {
    return this.get<Pod>(resources.pods, name)
  }

  async podsWith(labelSelector: string): Promise<Pod[]> {
    return (await this.api.client.list<Pod>(resources.pods, { namespace, labelSelector })).items
  }

  remove(resource: ResourceRef, name: string): Promise<void> {
    return this.api.client.delete(resource, { namespace, name }, { propagation: 'Background' })
  }

  createPod(name: string, spec: Partial<PodSpec>, labels: Record<string, string> = {}): Promise<Pod> {
    const metadata = { name, namespace, labels }
    return this.api.client.create<Pod>(resources.pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec })
  }

  async createJob(name: string, spec: Partial<PodSpec>, job: Partial<Job['spec']> = {}): Promise<void> {
    await this.api.client.create(resources.jobs, {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace },
      spec: { backoffLimit: 0, template: { spec: { restartPolicy: 'Never', ...spec } }, ...job },
    })
  }

  async createSecret(name: string, values: Record<string, string>): Promise<void> {
    const data = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, btoa(value)]))
    const metadata = { name, namespace }
    await this.api.client.create(resources.secrets, { apiVersion: 'v1', kind: 'Secret', metadata, data })
  }

  /** The pod once it is in this phase. */
  phase(name: string, wanted: string): Promise<Pod> {
    return until(async () => {
      const pod = await this.pod(name)
      return pod.status?.phase === wanted && pod
    })
  }

  /** The Job once it is complete or has failed. */
  finished(name: string): Promise<Job> {
    return until(async () => {
      const job = await this.get<Job>(resources.jobs, name)
      return job.status?.conditions?.some((c) => c.type === 'Complete' || c.type === 'Failed') && job
    })
  }

  /** Resolves once the object does not exist. */
  async gone(resource: ResourceRef, name: string): Promise<void> {
    await until(() =>
      this.get(resource, name).then(
        () => false,
        () => true,
      ),
    )
  }

  /** As `kubectl logs` gets them. */
  logs(pod: string, container: string, options: LogOptions = {}): Promise<string> {
    const query = new URLSearchParams({ container })
    for (const [key, value] of Object.entries(options)) query.set(key, String(value))
    const url = `${this.api.url}/api/v1/namespaces/${namespace}/pods/${pod}/log?${query}`
    const headers = { authorization: `Bearer ${this.api.adminToken}` }
    return new Promise((resolve, reject) => {
      const call = request(url, { ca: this.api.caPem, headers }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => resolve(text))
      })
      call.on('error', reject).end()
    })
  }
}

/** A confined container that runs a shell script. */
export function sh(name: string, script: string, more: Partial<Container> = {}): Container {
  return { name, image: 'host:any', command: ['sh', '-c', script], ...more }
}

export function statusOf(pod: Pod, container: string): ContainerStatus | undefined {
  const { initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {}
  return [...initContainerStatuses, ...containerStatuses].find((c) => c.name === container)
}

/** What `look` answers once it is neither undefined nor false. */
export async function until<T>(look: () => Promise<T | undefined | false>, withinMs = 20_000): Promise<T> {
  const end = Date.now() + withinMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`it did not come to be within ${withinMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
