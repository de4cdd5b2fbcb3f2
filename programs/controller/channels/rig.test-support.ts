/**
 * The router as its tests run it: in this process, with the rights of the controller, against localkube's API and a
 * real nats-server. The test is the channels, the services behind them, and whatever runs the runs.
 */
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams } from '#core/bus'
import { publishReceived, type Received, type SendItem, sendItems } from '#core/channels'
import type { ChannelAddress } from '#core/identity'
import { type Outcome, readRun, writeOutcome } from '#core/journal'
import { type AgentRun, agentRuns, type Channel, type ClawInstance, clawInstances, type Phase } from '#core/kinds'
import { Informer, type Kube, namespaces } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { FileRoom } from './file-room.ts'
import { routeChannels } from './route-channels.ts'
import { turnIndexers, turnOf } from './turn.ts'

const log = createLogger('test')
log.level = process.env.TEST_LOG ?? 'silent'

let cluster: TestCluster
let ending: Bus
export let nats: TestNats
export let admin: Kube
export let namespace = ''
let count = 0

/** Registers what each test of a file starts with: a namespace of its own and a router that runs. */
export function useRouter(): void {
  beforeAll(async () => {
    cluster = await startCluster()
    nats = await startNats()
    admin = cluster.admin
    ending = await nats.connect({ kind: 'controller' })
    await ensureStreams(ending)
  })
  afterAll(async () => {
    await cluster.close()
    await nats.close()
  })
  beforeEach(async () => {
    namespace = await createNamespace()
  })
  afterEach(async () => {
    await stopRouter()
    closing.abort()
    closing = new AbortController()
  })
}

export async function createNamespace(): Promise<string> {
  const name = `team-${++count}`
  await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  return name
}

export async function createInstance(
  access: Partial<Channel['access']> = {},
  where = namespace,
  { whileRunning }: Pick<Channel, 'whileRunning'> = {},
) {
  return await admin.create<ClawInstance>(clawInstances, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawInstance',
    metadata: { name: 'helper', namespace: where },
    spec: {
      agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m' } },
      maxConcurrentRuns: 5,
      channels: [
        {
          name: 'chat',
          type: 'telegram',
          secretRef: { name: 'bot' },
          access: { mode: 'open', groups: 'mention', ...access },
          ...(whileRunning && { whileRunning }),
        },
      ],
    },
  })
}

interface Routing {
  bus: Bus
  stop: AbortController
  done: Promise<void>
}
let routing: Routing | undefined
let closing = new AbortController()

export interface RouterSettings {
  quietMs?: number
  patienceMs?: number
  /** Whose rights it has. */
  account?: string
  /** Waited for once a run was created, before its creator is told so. */
  onCreated?: () => Promise<void>
  /** The same of a run that was patched. */
  onPatched?: () => Promise<void>
}

export async function startRouter(settings: RouterSettings = {}): Promise<void> {
  const { quietMs = 50, patienceMs = 60_000, account = 'k8sclaw-controller', onCreated, onPatched } = settings
  const stop = new AbortController()
  const bus = await nats.connect({ kind: 'controller' })
  const kube = await cluster.as('k8sclaw-system', account)
  const watcher = await cluster.as('k8sclaw-system', 'k8sclaw-controller')
  const runs = new Informer<AgentRun>(watcher, agentRuns, {
    namespace: '*',
    indexers: {
      ...turnIndexers,
      uid: (run) => [run.metadata.uid ?? ''],
      instance: () => [],
    },
  })
  const instances = new Informer<ClawInstance>(watcher, clawInstances, { namespace: '*' })
  const watching = [runs.run(stop.signal), instances.run(stop.signal)]
  await Promise.all([runs.synced(), instances.synced()])
  const room = new FileRoom({ bus, runs, toldBefore: () => undefined })
  const options = { bus, room, caches: { runs, instances }, log, signal: stop.signal, quietMs, patienceMs }
  const done = Promise.all([
    routeChannels({ ...options, kube: watched(kube, { create: onCreated, patch: onPatched }) }),
    ...watching,
  ]).then(() => {})
  routing = { bus, stop, done }
}

/** As a pod ends: what is held is given back. */
export async function stopRouter(): Promise<void> {
  const { stop, done, bus } = routing ?? {}
  routing = undefined
  stop?.abort()
  await done
  await bus?.close()
}

/** As a crash ends it: from this moment on it tells the bus nothing. What it had begun by then ends unheard. */
export async function killRouter(): Promise<void> {
  const { stop, done, bus } = routing ?? {}
  routing = undefined
  await bus?.close()
  stop?.abort()
  done?.catch(() => {})
}

function watched(kube: Kube, hooks: Record<string, (() => Promise<void>) | undefined>): Kube {
  return new Proxy(kube, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return async (...args: unknown[]) => {
        const result: unknown = await (Reflect.apply(value, target, args) as Promise<unknown>)
        await hooks[String(name)]?.()
        return result
      }
    },
  })
}

/** A channel with the rights of one, and what it was told to say. */
export interface TestChannel {
  at: ChannelAddress
  items: SendItem[]
  say(text: string, more?: Partial<Received>): Promise<void>
  /** Texts of what was said in that chat, the beginnings of runs as their names in brackets. */
  told(chat?: string): string[]
}

let serial = 0
export async function connectChannel(where = namespace): Promise<TestChannel> {
  const at = { namespace: where, instance: 'helper', channel: 'chat' }
  const controller = await nats.connect({ kind: 'controller' })
  await ensureChannelConsumer(controller, at)
  const bus = await nats.connect({ kind: 'channel', channel: at })
  const items: SendItem[] = []
  const { signal } = closing
  void (async () => {
    for await (const { value, message } of sendItems(bus, at, signal)) {
      items.push(value)
      message.ack()
    }
  })()
  return {
    at,
    items,
    async say(text, more = {}) {
      const message: Received = {
        id: `m${++serial}`,
        at: new Date().toISOString(),
        chat: { id: 'c1', kind: 'direct' },
        sender: { id: 'U1', name: 'Ada', kind: 'person' },
        text,
        mentioned: true,
        mayCommand: true,
        attachments: [],
        ...more,
      }
      await publishReceived(bus, at, message, { id: `${where}/${message.id}/${++serial}` })
    },
    told: (chat = 'c1') =>
      items
        .filter((item) => item.chat.id === chat)
        .flatMap((item) => (item.type === 'fetch' ? [] : item.type === 'turn' ? `[${item.run.name}]` : item.text)),
  }
}

export async function runsOf(where = namespace): Promise<AgentRun[]> {
  const { items } = await admin.list<AgentRun>(agentRuns, { namespace: where })
  return items.toSorted((a, b) => (turnOf(a)?.upTo ?? 0) - (turnOf(b)?.upTo ?? 0))
}

export const wait = { timeout: 20_000, interval: 20 }
/** The runs, once there are so many. */
export async function untilRuns(many: number, where = namespace): Promise<AgentRun[]> {
  return await vi.waitFor(async () => {
    const runs = await runsOf(where)
    if (runs.length < many) throw new Error(`there are ${runs.length} runs of ${many}`)
    return runs
  }, wait)
}

/** What the rest of the controller does at the end of a run: the outcome, then the status. */
export async function ends(run: AgentRun, more: Partial<Outcome> = {}): Promise<void> {
  const { uid = '', namespace: where = '' } = run.metadata
  const address = { namespace: where, instance: run.spec.instanceRef.name, uid }
  const outcome: Outcome = {
    ...{
      run: uid,
      attempt: 1,
      at: new Date().toISOString(),
      writer: 'bridge',
      phase: 'Succeeded',
      reason: 'Completed',
    },
    result: `done with ${run.spec.task}`,
    usage: { inputTokens: 3, outputTokens: 4, modelCalls: 1, toolCalls: 0 },
    ...more,
  }
  await writeOutcome(ending, address, outcome)
  await setPhase(run, outcome.phase, outcome.reason)
}

export async function setPhase({ metadata }: AgentRun, phase: Phase, reason?: string): Promise<void> {
  await admin.patch(agentRuns, metadata, { status: { phase, ...(reason && { reason }) } }, 'status')
}

/** What was said to a run while it went on. */
export async function saidTo({ metadata, spec }: AgentRun): Promise<string[]> {
  const address = { namespace: metadata.namespace ?? '', instance: spec.instanceRef.name, uid: metadata.uid ?? '' }
  const { inbox } = await readRun(ending, address, AbortSignal.timeout(10_000))
  return inbox.flatMap((message) => (message.type === 'message' ? [`${message.number} ${message.text}`] : []))
}
