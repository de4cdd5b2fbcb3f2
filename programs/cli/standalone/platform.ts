import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClawError } from '#core/errors'
import { type KubeObject, type LocalClient, type Log, resources, startApi } from '#localkube/api'
import { type LocalNode, startNode } from '#localkube/node'
import { isFoundation } from '../manifest-file.ts'
import { chooseOctet, kubePort } from './addresses.ts'
import { type DataFolder, takeDataFolder } from './data-folder.ts'
import { type FrontDoor, openFrontDoor, type Target } from './front-door.ts'
import { imageTable } from './images.ts'
import { apply, readManifests } from './manifests.ts'
import { fullDisk, untilFull } from './room.ts'

export interface PlatformOptions {
  /** Root of the checkout or the installation: dist/, config/rendered/, examples/. */
  root: string
  dataDir: string
  /** Port on 127.0.0.1; absent: the remembered one, else a free one. */
  port?: number
  /** Lets models other than demo run although nothing isolates agents. */
  unconfined: boolean
  log: Log
  /** Ends the wait for readiness. */
  signal: AbortSignal
}

export interface Platform {
  url: string
  token: string
  kubeconfig: string
  isolation: string
  isolationReason: string
  /** True when the last owner of the data folder did not stop by itself. */
  recovered: boolean
  close(): Promise<void>
}

const systemNamespace = 'k8sclaw-system'
const nameLabel = 'app.kubernetes.io/name'
/** The platform is ready before the database is, which takes seconds the first time; what needs it waits. */
const follows = 'k8sclaw-database'

/**
 * Starts localkube on a data folder, applies the manifests and waits until every Deployment of the platform is
 * available. Throws ClawError with one sentence; whatever was started is stopped again.
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const images = imageTable(options.root)
  const folder = takeDataFolder(options.dataDir)
  const closers: (() => Promise<void> | void)[] = [() => folder.release()]
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    const octet = await chooseOctet(folder.path, folder.remembered.octet)
    const api = await startApi({
      dataDir: join(folder.path, 'api'),
      address: `127.${octet}.0.1`,
      port: kubePort,
      serviceAddress: `127.${octet}.0.1`,
      servicePrefix: `127.${octet}.255.`,
      log: options.log,
    })
    closers.push(() => api.close())
    let apiserver: string | undefined
    const door = await openDoor(options, folder, () => (apiserver ? { host: apiserver, port: 8080 } : undefined))
    closers.push(() => door.close())
    const node = await startNode({
      api,
      dataDir: join(folder.path, 'node'),
      images,
      addressPrefix: `127.${octet}.`,
      nodeName: 'local',
      log: options.log,
      isolation: process.env.K8SCLAW_ISOLATION === 'none' ? 'none' : 'auto',
    })
    closers.push(() => node.close())
    folder.remember({ octet, port: door.port })
    await applyPlatform(api.client, options, node)
    apiserver = await clusterIP(api.client, 'k8sclaw-apiserver')
    await untilReady(api.client, folder.path, options.signal)
    const kubeconfig = join(folder.path, 'kubeconfig')
    writeFileSync(kubeconfig, api.kubeconfig(), { mode: 0o600 })
    return {
      url: `http://127.0.0.1:${door.port}`,
      token: api.adminToken,
      kubeconfig,
      isolation: node.isolation,
      isolationReason: node.isolationReason,
      recovered: folder.wasStale,
      close,
    }
  } catch (error) {
    const full = fullDisk(folder.path)
    await close()
    if (full) throw new ClawError('unavailable', `${full}; make room and start again`, { cause: error })
    throw error
  }
}

/** A port that the person named must be free; the remembered one gives way to another when it is taken. */
async function openDoor(options: PlatformOptions, folder: DataFolder, target: Target): Promise<FrontDoor> {
  if (options.port !== undefined) return openFrontDoor(options.port, target)
  return openFrontDoor(folder.remembered.port ?? 0, target).catch(() => openFrontDoor(0, target))
}

async function clusterIP(client: LocalClient, name: string): Promise<string | undefined> {
  const service = await client.get<KubeObject & { spec: { clusterIP?: string } }>(resources.services, {
    namespace: systemNamespace,
    name,
  })
  return service.spec.clusterIP
}

async function applyPlatform(client: LocalClient, options: PlatformOptions, node: LocalNode): Promise<void> {
  const manifests = readManifests(join(options.root, 'config', 'rendered', 'standalone.yaml'))
  const platform = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'k8sclaw-platform', namespace: systemNamespace },
    data: { isolation: node.isolation, allowUnconfined: String(options.unconfined) },
  }
  const [first, rest] = [manifests.filter(isFoundation), manifests.filter((m) => !isFoundation(m))]
  for (const manifest of [...first, platform]) await apply(client, manifest)
  await Promise.all(rest.map((manifest) => apply(client, manifest)))
}

interface Deployment extends KubeObject {
  spec: { template: { metadata: { labels: Record<string, string> } } }
}

interface Pod extends KubeObject {
  status?: {
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    containerStatuses?: { state?: { waiting?: { reason?: string; message?: string } } }[]
  }
}

/** Waits until each Deployment of the platform has a ready pod; the node has seen to it that statuses are of this start. */
async function untilReady(client: LocalClient, folder: string, signal: AbortSignal): Promise<void> {
  using room = untilFull(folder)
  const limit = AbortSignal.any([signal, room.signal, AbortSignal.timeout(90_000)])
  const { items } = await client.list<Deployment>(resources.deployments, { namespace: systemNamespace })
  const needed = items.filter((d) => d.metadata.name !== follows)
  const waiting = new Map(needed.map((d) => [d.spec.template.metadata.labels[nameLabel], d.metadata.name]))
  const troubles = new Map<string | undefined, string>()
  for await (const event of client.listThenWatch<Pod>(resources.pods, { namespace: systemNamespace, signal: limit })) {
    if (event.type === 'SYNCED' || event.type === 'DELETED') continue
    const label = event.object.metadata.labels?.[nameLabel]
    troubles.set(label, troubleOf(event.object))
    if (isReady(event.object)) waiting.delete(label)
    if (waiting.size === 0) return
  }
  if (signal.aborted) throw new ClawError('unavailable', 'stopped before the platform was ready')
  const names = [...waiting]
    .map(([label, name]) => `${name}${troubles.get(label) ?? ''}`)
    .sort()
    .join(', ')
  throw new ClawError('timeout', `not ready after 90 s: ${names}; see the logs under the data folder`)
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false
}

/** What keeps a pod from running, as the node says it, in brackets; nothing where it is on its way. */
function troubleOf({ status }: Pod): string {
  const unscheduled = status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  const waiting = status?.containerStatuses
    ?.map(({ state }) => state?.waiting)
    .find((one) => one?.message !== undefined)
  const { reason, message } = unscheduled ?? waiting ?? {}
  return message ? ` (${reason}: ${message})` : ''
}
