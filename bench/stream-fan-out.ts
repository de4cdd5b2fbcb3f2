import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { WebSocket } from 'ws'
import { type Bus, ensureRunConsumers, ensureStreams, publish } from '#core/bus'
import { type RunAddress, runSubjects } from '#core/identity'
import { openJournal } from '#core/journal'
import { type AgentRun, agentRuns } from '#core/kinds'
import { startServed } from '../programs/apiserver/testing/served.test-support.ts'
import { startNats } from '../test/support/nats.ts'
import { type Bench, figure } from './figures.ts'

const streams = 200
const runs = 20
/** Of all streams together: each chunk of a run comes to ten of them. */
const chunksPerSecond = 1_000
const seconds = 10
/** Goal: p50 4 ms, p99 20 ms. */
const goalMs = 4

const now = () => performance.timeOrigin + performance.now()

/**
 * streamFanOut: a piece of text is handed to the bus to each of ten WebSocket clients of its run holding it, with 200
 * streams and 1,000 chunks a second. A real bus and the API server's own code; the Kubernetes that it asks shares its
 * process, the clients have a thread of their own. Held against the goal.
 */
export const streamFanOut: Bench = {
  figures: ['streamFanOut'],
  async take() {
    const nats = await startNats()
    const bus = await nats.connect({ kind: 'apiserver' })
    const served = await startServed({ bus: () => bus, limits: { streamsOfUser: streams } })
    const stop = new AbortController()
    try {
      const controller = await nats.connect({ kind: 'controller' })
      const gateway = await nats.connect({ kind: 'gateway' })
      await ensureStreams(controller)
      const token = await served.account('red', 'reader', ['*'])
      const begun: { name: string; run: RunAddress }[] = []
      for (let i = 0; i < runs; i++) {
        const { metadata } = await served.cluster.admin.create<AgentRun>(agentRuns, {
          apiVersion: 'k8sclaw.io/v1alpha1',
          kind: 'AgentRun',
          metadata: { name: `fan-${i}`, namespace: 'red' },
          spec: { instanceRef: { name: 'bot' }, agent: 'default', task: 'speak' },
        })
        const run = { namespace: 'red', instance: 'bot', uid: metadata.uid ?? '' }
        await ensureRunConsumers(controller, run)
        const journal = await openJournal(await nats.connect({ kind: 'bridge', run }), run, 1, { signal: stop.signal })
        const call = { id: 'model-1', tool: 'model', inputHash: '0'.repeat(64), step: 1 }
        await journal.append({ kind: 'called', call, verdict: { action: 'allow', reason: 'bench' } })
        begun.push({ name: metadata.name, run })
      }
      const base = served.base.replace(/^http/, 'ws')
      const urls = Array.from(
        { length: streams },
        (_, i) => `${base}/api/v1/namespaces/red/runs/fan-${i % runs}/stream`,
      )
      const clients = new Worker(new URL(import.meta.url), { workerData: { urls, token } })
      await once(clients, 'message')
      await sleep(500)
      await Promise.all(begun.map(({ run }, i) => speak(gateway, run, i)))
      await sleep(500)
      clients.postMessage('done')
      const [samples] = (await once(clients, 'message')) as [number[]]
      const wanted = seconds * chunksPerSecond
      if (samples.length !== wanted) throw new Error(`${samples.length} chunks came of ${wanted}`)
      return { streamFanOut: figure('ms', samples, goalMs) }
    } finally {
      stop.abort()
      await served.close()
      await nats.close()
    }
  },
}

/** As the gateway does it, at the pace of one run; the runs take turns. */
async function speak(gateway: Bus, run: RunAddress, place: number): Promise<void> {
  const perRun = chunksPerSecond / streams
  const start = performance.now() + (place * 1_000) / perRun / runs
  let offset = 0
  for (let i = 0; i < perRun * seconds; i++) {
    await sleep(Math.max(0, start + (i * 1_000) / perRun - performance.now()))
    const text = `${now()} `
    const piece = { attempt: 1, step: 1, offset, kind: 'text', source: 'model', text }
    offset += text.length
    await publish(gateway, runSubjects(run).liveModel, piece, { id: `${run.uid}/${i}` })
  }
}

/** The clients: each piece is the time at which it was said. */
function listen({ urls, token }: { urls: string[]; token: string }): void {
  const samples: number[] = []
  const opened = urls.map((url) => {
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
    socket.on('message', (frame: Buffer) => {
      const at = now()
      const event = JSON.parse(frame.toString()) as { type: string; data: { text?: string } }
      if (event.type !== 'text') return
      for (const sent of (event.data.text ?? '').trim().split(' ')) samples.push(at - Number(sent))
    })
    return once(socket, 'open')
  })
  void Promise.all(opened).then(() => parentPort?.postMessage('open'))
  parentPort?.once('message', () => {
    parentPort?.postMessage(samples)
    process.exit(0)
  })
}

if (!isMainThread) listen(workerData as { urls: string[]; token: string })
