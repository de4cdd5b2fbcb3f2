/**
 * The controller as tests of it run it: in this process, with the rights of its account, against localkube's API and a
 * real nats-server. The test is the node and the bridges.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest'
import { type Bus, ensureStreams } from '#core/bus'
import { type Outcome, writeOutcome } from '#core/journal'
import { type AgentRun, type AgentRunSpec, agentRuns, type ClawInstance, clawInstances } from '#core/kinds'
import { type Job, type Kube, namespaces, type Pod } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { Kubelet, startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { type ManagerOptions, runManager } from '../manager.ts'
import { addressOfRun } from '../resources/job.ts'

const log = createLogger('test')
log.level = process.env.TEST_LOG ?? 'silent'
const platform = {
  isolation: 'bubblewrap',
  allowUnconfined: false,
  images: { agent: 'agent', sandbox: 'sandbox' },
} as const
const settings = { bridgeImage: 'bridge', identityUrl: 'http://i', gatewayUrl: 'http://g', busUrl: 'nats://b' }

let cluster: TestCluster
export let nats: TestNats
export let admin: Kube
export let kubelet: Kubelet
export let bus: Bus
/** Writes of the controller since the last reset: method and kind. */
export let writes: string[] = []
let controller: Kube

/** Registers what each test of a file starts with: a namespace of its own and a controller that runs. */
export function useController(): void {
  beforeAll(async () => {
    cluster = await startCluster()
    nats = await startNats()
    admin = cluster.admin
    kubelet = new Kubelet(admin)
    bus = await nats.connect({ kind: 'controller' })
    await ensureStreams(bus)
    controller = counted(await cluster.as('k8sclaw-system', 'k8sclaw-controller'))
  })
  afterAll(async () => {
    await cluster.close()
    await nats.close()
  })

  beforeEach(async () => {
    namespace = `team-${++count}`
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    writes = []
    await startManager()
  })
  afterEach(async () => {
    await stopManager()
    for (const run of (await admin.list(agentRuns, { namespace })).items) await admin.delete(agentRuns, run.metadata)
  })
}

/** Forgets the writes so far. */
export function forgetWrites(): void {
  writes = []
}

/** The same client, its writes noted. */
function counted(kube: Kube): Kube {
  return new Proxy(kube, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (['create', 'update', 'patch', 'delete'].includes(String(name))) {
          writes.push(`${String(name)} ${(args[0] as { kind: string }).kind}`)
        }
        return Reflect.apply(value, target, args) as unknown
      }
    },
  })
}

let stop = new AbortController()
let managing: Promise<void> = Promise.resolve()
export async function startManager(more: Partial<ManagerOptions> = {}): Promise<void> {
  stop = new AbortController()
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  managing = runManager({
    kube: controller,
    bus,
    systemNamespace: 'k8sclaw-system',
    platform,
    settings,
    channelImages: { telegram: 't', slack: 's', discord: 'd', whatsapp: 'w' },
    canary: { image: 'controller', busUrl: 'nats://b' },
    log,
    signal: stop.signal,
    suspectMs: 50,
    onReady: resolve,
    ...more,
  })
  await Promise.race([ready, managing])
}
export async function stopManager(): Promise<void> {
  stop.abort()
  await managing
}

let count = 0
export let namespace = ''

export async function createInstance(spec: Partial<ClawInstance['spec']> = {}, name = 'helper'): Promise<ClawInstance> {
  return await admin.create<ClawInstance>(clawInstances, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawInstance',
    metadata: { name, namespace },
    spec: {
      agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m', systemPrompt: 'Be brief.' } },
      maxConcurrentRuns: 2,
      ...spec,
    },
  })
}

export async function createRun(name: string, spec: Partial<AgentRunSpec> = {}): Promise<AgentRun> {
  return await admin.create<AgentRun>(agentRuns, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'AgentRun',
    metadata: { name, namespace },
    spec: { instanceRef: { name: 'helper' }, agent: 'default', task: 'Do it.', ...spec },
  })
}

export const read = async (run: AgentRun): Promise<AgentRun> => await admin.get<AgentRun>(agentRuns, run.metadata)
export const wait = { timeout: 10_000, interval: 20 }
export async function until(run: AgentRun, status: Partial<NonNullable<AgentRun['status']>>): Promise<AgentRun> {
  return await vi.waitFor(async () => {
    const now = await read(run)
    expect(now.status).toMatchObject(status)
    return now
  }, wait)
}
export async function untilJob(run: AgentRun): Promise<Job> {
  return await vi.waitFor(async () => {
    const job = await kubelet.jobOf(run)
    if (!job) throw new Error(`no Job of ${run.metadata.name}`)
    return job
  }, wait)
}
export async function startPod(run: AgentRun): Promise<Pod> {
  const pod = await kubelet.createPod(await untilJob(run))
  await kubelet.running(pod)
  await until(run, { podName: pod.metadata.name })
  return pod
}

/** What a bridge would write at the end. */
export async function bridgeEnds(run: AgentRun, more: Partial<Outcome> = {}): Promise<void> {
  const address = addressOfRun(run)
  const bridge = await nats.connect({ kind: 'bridge', run: address })
  await writeOutcome(bridge, address, {
    run: address.uid,
    attempt: 1,
    at: new Date().toISOString(),
    writer: 'bridge',
    phase: 'Succeeded',
    reason: 'Completed',
    result: 'done',
    usage: { inputTokens: 3, outputTokens: 4, modelCalls: 1, toolCalls: 0 },
    ...more,
  })
}
