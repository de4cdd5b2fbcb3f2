/**
 * The whole platform on a real control plane: kube-apiserver, controller manager and scheduler (kubernetes.ts), and as
 * its one node localkube's, which runs the pods that are bound to it as processes of this machine. Deployments, Jobs and
 * everything else come from the manifests, and each program has its own ServiceAccount and no other rights. `close`
 * leaves nothing.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAllDocuments, stringify } from 'yaml'
import { agentRuns } from '#core/kinds'
import { connectKube, type Kube, pods } from '#core/kube'
import { resources } from '#localkube/api'
import { startNode } from '#localkube/node'
import { kubectl as findKubectl } from '../../build/kubectl.ts'
import { chooseOctet, kubePort, listen } from '../../programs/cli/standalone/addresses.ts'
import { imageTable } from '../../programs/cli/standalone/images.ts'
import { startKubernetes, type TestKubernetes } from './kubernetes.ts'
import { run } from './objects.ts'
import { execute, type Finished } from './platform.ts'
import { type RemoteApi, remoteApi } from './remote-api.ts'
import { type SimulatedNode, startSimulatedNode } from './simulated-node.ts'

export interface ControlPlane {
  kubernetes: TestKubernetes
  /** system:masters */
  admin: Kube
  /** A client that acts as a ServiceAccount, with what the manifests give it. */
  as(namespace: string, account: string): Promise<Kube>
  /** kubectl as the administrator; throws with its message when it fails. */
  kubectl(args: string[], input?: string): Promise<string>
  /** kubectl, whatever its exit code. */
  tryKubectl(args: string[], input?: string): Promise<Finished>
  /** `kubectl apply -f -`. */
  apply(...documents: object[]): Promise<string>
  getJson<T>(...args: string[]): Promise<T>
  /** The last lines of what a pod's containers, or those of the pods whose names begin so, have said. */
  logs(namespace: string, pod: string): Promise<string>
  /** Where `runs` is `simulated`. */
  simulated: SimulatedNode | undefined
  /** The node's folder: its pods lie below `pods`, as test/support/pods.ts knows. */
  dataDir: string
  close(): Promise<void>
}

export interface ControlPlaneOptions {
  /** What is applied; default: what `config/standalone` renders to. */
  manifests?: Manifest[]
  /** What the ConfigMap k8sclaw-platform says; default: isolation `kubernetes`. */
  platform?: Record<string, string>
  /** Changes what is applied. */
  change?: (manifest: Manifest) => Manifest
  /** `simulated`: the pods of runs go to a node without processes, which ends them at once (simulated-node.ts). */
  runs?: 'processes' | 'simulated'
}

// biome-ignore lint/suspicious/noExplicitAny: any manifest, changed here and there by whoever starts it.
export type Manifest = any

const root = resolve(import.meta.dirname, '..', '..')
const system = 'k8sclaw-system'
const nodeName = 'processes'
/** Keeps the pods of runs off the node of processes where they are simulated. */
const platformTaint = { key: 'k8sclaw.io/platform', effect: 'NoSchedule' }
/** Under 1024 only root may listen. */
const webhookPort = 8443

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const closers: (() => Promise<unknown> | unknown)[] = []
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'k8sclaw-plane-'))
    closers.push(() => rm(dataDir, { recursive: true, force: true }))
    const claim = await claimAddresses(dataDir)
    closers.push(() => new Promise((done) => claim.server.close(done)))
    const kubernetes = await startKubernetes({ serviceRange: `127.${claim.octet}.255.0/24` })
    closers.push(() => kubernetes.close())
    const api = remoteApi(kubernetes)
    closers.push(() => api.close())
    const plane: ControlPlane = {
      ...clientsOf(kubernetes, api, closers),
      kubernetes,
      dataDir,
      simulated: undefined,
      close,
      logs: (namespace, pod) => logsOf(plane, namespace, pod),
    }
    const node = await startNode({
      api,
      dataDir: join(dataDir, 'node'),
      images: imageTable(root),
      addressPrefix: `127.${claim.octet}.`,
      nodeName,
      controllers: 'elsewhere',
    })
    closers.push(() => node.close())
    const simulates = options.runs === 'simulated'
    await admitPods(api, simulates)
    await applyPlatform(plane, options)
    if (simulates) {
      plane.simulated = await startSimulatedNode({ api, nodeName: 'simulated', ...(await addresses(api)) })
      closers.push(() => plane.simulated?.close())
    }
    return plane
  } catch (error) {
    await close()
    throw error
  }
}

/** A part 127.N.0.0/16 of loopback, which is taken as long as somebody listens where localkube's API would. */
async function claimAddresses(path: string): Promise<{ octet: number; server: Server }> {
  const octet = await chooseOctet(path, undefined)
  const server = createServer()
  await listen(server, `127.${octet}.0.1`, kubePort)
  return { octet, server }
}

function clientsOf({ url, caPem, token, kubeconfig }: TestKubernetes, api: RemoteApi, closers: (() => unknown)[]) {
  const connect = (as: string): Kube => {
    const kube = connectKube({ server: url, ca: caPem, token: as })
    closers.push(() => kube.close())
    return kube
  }
  const tryKubectl = (args: string[], input?: string) => {
    const env = { ...process.env, KUBECONFIG: kubeconfig }
    return execute(findKubectl(), args, { env, ...(input === undefined ? {} : { input }) })
  }
  const kubectl = async (args: string[], input?: string) => {
    const { code, stdout, stderr } = await tryKubectl(args, input)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`)
    return stdout
  }
  return {
    admin: connect(token),
    as: async (namespace: string, name: string) => connect((await api.client.mintToken({ namespace, name })).token),
    kubectl,
    tryKubectl,
    apply: (...documents: object[]) => kubectl(['apply', '-f', '-'], documents.map((d) => stringify(d)).join('---\n')),
    getJson: async <T>(...args: string[]) => JSON.parse(await kubectl([...args, '-o', 'json'])) as T,
  }
}

/**
 * What else a cluster does for its nodes: the taint of a new node goes once it is ready, and volumes are there to be
 * claimed. The node offers more than this machine has, since what its pods reserve they do not use at once.
 */
async function admitPods({ client }: RemoteApi, forPlatformOnly: boolean): Promise<void> {
  const offer = { cpu: '1000', memory: '1000Gi', pods: '2000', 'ephemeral-storage': '1000Gi' }
  const status = { capacity: offer, allocatable: offer }
  await client.patch(resources.nodes, { name: nodeName }, { status }, { subresource: 'status' })
  await client.patch(
    resources.nodes,
    { name: nodeName },
    { spec: { taints: forPlatformOnly ? [platformTaint] : null } },
  )
  const persistentVolumes = { group: '', version: 'v1', plural: 'persistentvolumes' }
  for (let i = 0; i < 4; i++) {
    await client.create(persistentVolumes, {
      kind: 'PersistentVolume',
      metadata: { name: `volume-${i}` },
      spec: {
        capacity: { storage: '100Gi' },
        accessModes: ['ReadWriteOnce'],
        // The node gives each claim a folder of its own; this one is never looked at.
        hostPath: { path: '/nonexistent' },
        storageClassName: '',
      },
    })
  }
}

/** What `make install` and `make deploy` apply, until all of it is there. */
async function applyPlatform(
  { admin, apply, kubectl, logs }: ControlPlane,
  { manifests, platform, change = (manifest) => manifest }: ControlPlaneOptions,
): Promise<void> {
  const all: Manifest[] = (manifests ?? (await readManifests(join(root, 'config/rendered/standalone.yaml')))).map(
    (manifest) => change(tolerant(onFreePort(manifest))),
  )
  const isFoundation = ({ kind }: Manifest) => kind === 'Namespace' || kind === 'CustomResourceDefinition'
  await apply(...all.filter(isFoundation))
  await kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'])
  const said = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'k8sclaw-platform', namespace: system },
    data: { isolation: 'kubernetes', allowUnconfined: 'false', ...platform },
  }
  await apply(
    ...all.filter((manifest) => !isFoundation(manifest) && manifest.metadata.name !== said.metadata.name),
    said,
  )
  const workloads = all.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
  for (const { kind, metadata } of workloads) {
    const { name, namespace } = metadata
    const rollout = kubectl(['rollout', 'status', `${kind}/${name}`, '-n', namespace, '--timeout=120s'])
    await rollout.catch(async (error: unknown) => {
      throw new Error(`${name} does not become ready:\n${await logs(namespace, name)}`, { cause: error })
    })
  }
  await admitted(admin)
}

/** Until the server has heard of the webhook's authority, which comes a moment after its configuration. */
async function admitted(admin: Kube): Promise<void> {
  const trial = run('admitted', 'nobody')
  const path = admin.collection(agentRuns, 'default')
  const deadline = Date.now() + 60_000
  for (;;) {
    try {
      await admin.requestJson(path, { method: 'POST', query: { dryRun: 'All' }, body: trial })
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await sleep(100)
  }
}

/** From the node's folders: a real API server asks a kubelet for logs, and here is none to be asked. */
async function logsOf({ admin, dataDir }: ControlPlane, namespace: string, name: string): Promise<string> {
  const { items } = await admin.list(pods, { namespace })
  const said: string[] = []
  for (const { metadata } of items.filter((pod) => pod.metadata.name.startsWith(name))) {
    const folder = join(dataDir, 'node', 'pods', (metadata.uid ?? '').replaceAll('-', '').slice(0, 12), 'log')
    for (const file of await readdir(folder, { recursive: true }).catch(() => [])) {
      if (!file.endsWith('.log')) continue
      const lines = (await readFile(join(folder, file), 'utf8')).trimEnd().split('\n').slice(-40)
      said.push([`${metadata.name} ${file}`, ...lines].join('\n'))
    }
  }
  return said.join('\n\n')
}

export async function readManifests(file: string): Promise<Manifest[]> {
  return parseAllDocuments(await readFile(file, 'utf8')).flatMap((document) => document.toJS() ?? [])
}

function tolerant(manifest: Manifest): Manifest {
  if (manifest.spec?.template)
    manifest.spec.template.spec.tolerations = [{ key: platformTaint.key, operator: 'Exists' }]
  return manifest
}

async function addresses({ client }: RemoteApi): Promise<{ identityUrl: string; busUrl: string }> {
  const ip = async (name: string) => {
    const { spec } = await client.get(resources.services, { namespace: system, name })
    return (spec as { clusterIP: string }).clusterIP
  }
  return {
    identityUrl: `http://${await ip('k8sclaw-identity')}:8082`,
    busUrl: `nats://${await ip('k8sclaw-nats')}:4222`,
  }
}

function onFreePort(manifest: Manifest): Manifest {
  const copy = structuredClone(manifest)
  if (copy.kind === 'Service') {
    for (const port of copy.spec.ports) if (port.port === 443) port.port = webhookPort
  }
  for (const { clientConfig } of copy.webhooks ?? []) if (clientConfig.service) clientConfig.service.port = webhookPort
  return copy
}
