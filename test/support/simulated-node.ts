/**
 * A node without containers, for load: it tells the API of its pods what a kubelet would, and does for a pod of a run
 * what its bridge does, with the pod's own token: trades it for the run's identity, takes the task from the run's inbox
 * over the bus, and records the outcome. What it costs is the control plane's share of a run, and not that of Node.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectBus, tradeIdentity } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { receiveIn, type TaskMessage, writeOutcome } from '#core/journal'
import type { Pod } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { ApiError, resources } from '#localkube/api'
import type { RemoteApi } from './remote-api.ts'

export interface SimulatedNode {
  /** The task of every run that a pod was begun for, as often as one was. */
  readonly tasks: readonly TaskMessage['task'][]
  /** What went wrong, and should not have. */
  readonly failures: readonly Error[]
  close(): Promise<void>
}

export interface SimulatedNodeOptions {
  api: RemoteApi
  nodeName: string
  identityUrl: string
  busUrl: string
}

interface Container {
  name: string
  image: string
  env?: { name: string; value?: string }[]
}
type Containers = Container[]
type State = { running: { startedAt: string } } | { terminated: { exitCode: number; finishedAt: string } }

const log = createLogger('simulated')
// Hundreds of bridges connect.
log.level = 'silent'

/** Resolves once the node may be scheduled to. */
export async function startSimulatedNode(options: SimulatedNodeOptions): Promise<SimulatedNode> {
  const { api, nodeName } = options
  const stop = new AbortController()
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-simulated-'))
  await registerNode(api, nodeName)
  const node = new Pods(options, folder, stop.signal)
  const following = node.follow()
  return {
    tasks: node.tasks,
    failures: node.failures,
    async close() {
      stop.abort()
      await following
      await node.idle()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function registerNode({ client }: RemoteApi, name: string): Promise<void> {
  await client.create(resources.nodes, { kind: 'Node', metadata: { name } })
  const offer = { cpu: '10000', memory: '100000Gi', pods: '100000' }
  const conditions = [{ type: 'Ready', status: 'True', reason: 'Simulated' }]
  const status = { capacity: offer, allocatable: offer, conditions }
  await client.patch(resources.nodes, { name }, { status }, { subresource: 'status' })
  await client.patch(resources.nodes, { name }, { spec: { taints: null } })
}

class Pods {
  readonly tasks: TaskMessage['task'][] = []
  readonly failures: Error[] = []
  readonly #options: SimulatedNodeOptions
  readonly #folder: string
  readonly #signal: AbortSignal
  readonly #lives = new Map<string, { done: Promise<void>; end: AbortController }>()

  constructor(options: SimulatedNodeOptions, folder: string, signal: AbortSignal) {
    this.#options = options
    this.#folder = folder
    this.#signal = signal
  }

  async follow(): Promise<void> {
    const { api, nodeName } = this.#options
    const selection = { fieldSelector: `spec.nodeName=${nodeName}`, signal: this.#signal }
    while (!this.#signal.aborted) {
      try {
        for await (const event of api.client.listThenWatch(resources.pods, selection)) {
          if (event.type === 'ADDED' || event.type === 'MODIFIED') this.#see(event.object as unknown as Pod)
        }
      } catch (error) {
        if (!this.#signal.aborted && !(error instanceof ApiError && error.code === 410)) this.#fail(error)
      }
    }
  }

  async idle(): Promise<void> {
    for (const { end } of this.#lives.values()) end.abort()
    await Promise.all([...this.#lives.values()].map(({ done }) => done))
  }

  #see(pod: Pod): void {
    const { uid = '', deletionTimestamp } = pod.metadata
    const life = this.#lives.get(uid)
    if (!life && !deletionTimestamp) {
      const end = new AbortController()
      this.#lives.set(uid, { end, done: this.#live(pod, end.signal).catch((error: unknown) => this.#fail(error)) })
    } else if (life && deletionTimestamp && !life.end.signal.aborted) {
      life.end.abort()
      void life.done.then(() => this.#remove(pod)).catch((error: unknown) => this.#fail(error))
    }
  }

  async #live(pod: Pod, ended: AbortSignal): Promise<void> {
    const { initContainers = [], containers = [] } = pod.spec as {
      initContainers?: Containers
      containers?: Containers
    }
    const startedAt = now()
    const running = { running: { startedAt } }
    await this.#write(pod, 'Running', startedAt, [initContainers, running], [containers, running])
    const run = addressIn(initContainers)
    if (run) await this.#bridge(pod, run, ended)
    if (ended.aborted) return
    const terminated = { terminated: { exitCode: 0, startedAt, finishedAt: now() } }
    await this.#write(pod, 'Succeeded', startedAt, [initContainers, terminated], [containers, terminated])
  }

  /** What the bridge does of a run whose agent answers at once with its task. */
  async #bridge(pod: Pod, run: RunAddress, ended: AbortSignal): Promise<void> {
    const { api, identityUrl, busUrl } = this.#options
    const { name, namespace = '', uid = '' } = pod.metadata
    const account = { namespace, name: pod.spec?.serviceAccountName ?? '' }
    const { token } = await api.client.mintToken(account, { audiences: ['k8sclaw'], pod: { name, uid } })
    const tokenFile = join(this.#folder, uid)
    await writeFile(tokenFile, token)
    const identity = tradeIdentity({ url: identityUrl, tokenFile })
    const signal = AbortSignal.any([ended, this.#signal])
    const bus = await connectBus({ url: busUrl, credentials: identity.credentials, name: 'bridge', signal, log })
    try {
      for await (const { message, ack } of receiveIn(bus, run, signal)) {
        if (message.type !== 'task') continue
        this.tasks.push(message.task)
        ack()
        const usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }
        const result = message.task.task
        const how = { attempt: 1, at: now(), writer: 'bridge', phase: 'Succeeded', reason: 'Completed' } as const
        await writeOutcome(bus, run, { run: run.uid, ...how, result, usage })
        return
      }
    } finally {
      await bus.close()
    }
  }

  async #write(
    pod: Pod,
    phase: string,
    startTime: string,
    ...[sidecars, main]: [[Containers, State], [Containers, State]]
  ): Promise<void> {
    const ready = phase === 'Running'
    const statusesOf = ([of, state]: [Containers, State]) =>
      of.map(({ name, image }) => ({ name, image, imageID: '', state, ready, started: ready, restartCount: 0 }))
    const condition = (type: string, holds: boolean) => ({ type, status: holds ? 'True' : 'False' })
    const status = {
      phase,
      startTime,
      podIP: '127.0.0.1',
      podIPs: [{ ip: '127.0.0.1' }],
      conditions: [
        condition('PodScheduled', true),
        condition('Initialized', true),
        condition('ContainersReady', ready),
        condition('Ready', ready),
      ],
      initContainerStatuses: statusesOf(sidecars),
      containerStatuses: statusesOf(main),
    }
    const { uid, name, namespace } = pod.metadata
    const metadata = { name, ...(namespace && { namespace }), ...(uid && { uid }) }
    const { client } = this.#options.api
    await this.#unlessGone(client.update(resources.pods, { metadata, status }, { subresource: 'status' }))
  }

  async #remove(pod: Pod): Promise<void> {
    const { uid = '', name, namespace = '' } = pod.metadata
    const options = { gracePeriodSeconds: 0, preconditions: { uid } }
    await this.#unlessGone(this.#options.api.client.delete(resources.pods, { namespace, name }, options))
    await rm(join(this.#folder, uid), { force: true })
  }

  async #unlessGone(work: Promise<unknown>): Promise<void> {
    await work.catch((error: unknown) => {
      if (!(error instanceof ApiError && (error.code === 404 || error.code === 409))) throw error
    })
  }

  #fail(error: unknown): void {
    if (!this.#signal.aborted) this.failures.push(error instanceof Error ? error : new Error(String(error)))
  }
}

/** The run that a pod's bridge serves; undefined for any other pod. */
function addressIn(sidecars: Containers): RunAddress | undefined {
  const env = sidecars.find(({ name }) => name === 'bridge')?.env ?? []
  const value = (name: string) => env.find((variable) => variable.name === name)?.value
  const [namespace, instance, uid] = ['K8SCLAW_NAMESPACE', 'K8SCLAW_INSTANCE', 'K8SCLAW_RUN_UID'].map(value)
  return namespace && instance && uid ? { namespace, instance, uid } : undefined
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}
