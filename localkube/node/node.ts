/** Starts the node: mirrors first, then what acts on them. */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ApiServer, Log } from '#localkube/api'
import { Addresses } from './addresses.ts'
import { Claims } from './claims.ts'
import { createMirrors } from './context.ts'
import { DeploymentController } from './deployment-controller.ts'
import type { ImageTable } from './images.ts'
import { detectIsolation, type Isolation } from './isolation.ts'
import { JobController } from './job-controller.ts'
import { Kubelet } from './kubelet.ts'
import { registerNode } from './node-object.ts'
import { Scheduler } from './scheduler.ts'
import { Services } from './services.ts'

export interface NodeOptions {
  api: Pick<ApiServer, 'url' | 'client' | 'setNodeHooks'>
  /** Holds the pods' folders and the claims; one node at a time. */
  dataDir: string
  images: ImageTable
  /** Two numbers with dots, such as `127.77.`: pods live from `127.77.16.1` to `127.77.254.254`, Services elsewhere. */
  addressPrefix: string
  /** `none` runs even confined images as plain processes; default `auto`: bubblewrap where it works. */
  isolation?: 'auto' | 'none'
  /** Default `localkube`. */
  nodeName?: string
  /**
   * `elsewhere`: a scheduler and the controllers of Jobs and Deployments run beside the API, as in a cluster; this node
   * then runs the pods that are bound to it, and nothing more. Default `here`.
   */
  controllers?: 'here' | 'elsewhere'
  log?: Log
}

export interface LocalNode {
  readonly isolation: 'bubblewrap' | 'none'
  /** One sentence for a person. */
  readonly isolationReason: string
  /** Ends all processes; the pods stay in the API, and the next node goes on with them. */
  close(): Promise<void>
}

/** Resolves once the node is Ready in the API. */
export async function startNode(options: NodeOptions): Promise<LocalNode> {
  const { api, images, addressPrefix, nodeName = 'localkube', controllers = 'here', log = () => undefined } = options
  const dataDir = resolve(options.dataDir)
  const stop = new AbortController()
  const { client } = api
  const mirrors = createMirrors(client, stop.signal, log)
  const [isolation] = await Promise.all([
    options.isolation === 'none' ? unconfined() : detectIsolation(),
    mkdir(join(dataDir, 'pods'), { recursive: true, mode: 0o711 }),
    ...Object.values(mirrors).map((mirror) => mirror.synced),
  ])
  const { hostname: host, port } = new URL(api.url)
  const apiAddress = { host, port: port || '443' }
  const context = {
    client,
    log,
    signal: stop.signal,
    images,
    isolation,
    nodeName,
    dataDir,
    apiAddress,
    mirrors,
  }

  const claims = new Claims(context)
  const kubelet = new Kubelet(context, new Addresses(addressPrefix), claims)
  const services = new Services(context)
  const here = [new Scheduler(context), new JobController(context), new DeploymentController(context)]
  const own = controllers === 'here' ? here : []
  api.setNodeHooks({
    logs: (namespace, pod, container, wanted, signal) => kubelet.logs(namespace, pod, container, wanted, signal),
    resolveService: (namespace, name, wanted) => services.resolve(namespace, name, wanted),
  })
  await claims.start()
  services.start()
  await kubelet.start()
  await Promise.all(own.map((controller) => controller.start()))
  await registerNode(client, nodeName, host, isolation)
  log('info', 'node ready', { node: nodeName, isolation: isolation.kind, reason: isolation.reason })

  return {
    isolation: isolation.kind,
    isolationReason: isolation.reason,
    async close() {
      stop.abort()
      await Promise.all(own.map((controller) => controller.idle()))
      await kubelet.close()
      await services.close()
      await Promise.all(Object.values(mirrors).map((mirror) => mirror.ended))
    },
  }
}

async function unconfined(): Promise<Isolation> {
  return { kind: 'none', reason: 'isolation was switched off', root: process.getuid?.() === 0 }
}
