import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import { openJournal, publishLive, writeOutcome } from '#core/journal'
import { type AgentRun, agentRuns } from '#core/kinds'
import { startMetrics, type TestMetrics } from '../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { type Served, startServed } from './testing/served.test-support.ts'

const patient = { timeout: 20_000 }
let metrics: TestMetrics
let nats: TestNats
let controller: Bus
let gateway: Bus
let served: Served
let token: string
beforeAll(async () => {
  metrics = await startMetrics()
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  gateway = await nats.connect({ kind: 'gateway' })
  await ensureStreams(controller)
  const bus = await nats.connect({ kind: 'apiserver' })
  served = await startServed({ bus: () => bus, limits: { reviewMs: 200 } })
  token = await served.account('red', 'red', ['*'])
})
afterAll(async () => {
  await served?.close()
  await Promise.all([nats?.close(), metrics.close()])
})

const ask = (path: string, init: RequestInit = {}) =>
  fetch(`${served.base}/api/v1/namespaces/${path}`, {
    ...init,
    headers: { authorization: `Bearer ${token}`, ...init.headers },
  })

/** A run that is under way, and what ends it. */
async function startRun() {
  const { metadata } = await served.cluster.admin.create<AgentRun>(agentRuns, {
    ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: 'AgentRun', metadata: { generateName: 'run-', namespace: 'red' } },
    spec: { instanceRef: { name: 'bot' }, agent: 'default', task: 'do it' },
  })
  const run = { namespace: 'red', instance: 'bot', uid: metadata.uid ?? '' }
  await ensureRunConsumers(controller, run)
  const bridge = await nats.connect({ kind: 'bridge', run })
  const journal = await openJournal(bridge, run, 1, { signal: AbortSignal.timeout(60_000) })
  const model = { id: 'model-1', tool: 'model', inputHash: '0'.repeat(64), step: 1 }
  await journal.append({ kind: 'called', call: model, verdict: { action: 'allow', reason: 'x' } })
  publishLive(gateway, run, { attempt: 1, step: 1, offset: 0, kind: 'text', source: 'model', text: 'Hello' })
  await gateway.nats.flush()
  const common = { run: run.uid, attempt: 1, at: new Date().toISOString(), writer: 'bridge' as const }
  const usage = { inputTokens: 1, outputTokens: 1, modelCalls: 1, toolCalls: 0 }
  const end = () => writeOutcome(bridge, run, { ...common, phase: 'Succeeded', reason: 'Completed', usage })
  return { name: metadata.name, journal, end }
}

test('requests are counted by the pattern of their path, whatever it was, and by status', async () => {
  await (await ask('red/runs')).text()
  await (await ask('red/runs/a-name')).text()
  await (await ask('blue/runs')).text()
  await (await ask('red/nothing')).text()
  await (await ask('red/runs', { headers: { authorization: 'Bearer nonsense' } })).text()
  const counted = await metrics.values('k8sclaw_http_requests_total')
  const runs = '{method="GET",route="/api/v1/namespaces/:ns/runs'
  expect(counted).toEqual({
    [`${runs}",status="200"}`]: 1,
    [`${runs}",status="403"}`]: 1,
    [`${runs}",status="401"}`]: 1,
    [`${runs}/:name",status="404"}`]: 1,
    '{method="GET",route="none",status="404"}': 1,
  })
  expect(await metrics.values('k8sclaw_http_request_seconds_count')).toEqual({
    [`${runs}"}`]: 3,
    [`${runs}/:name"}`]: 1,
    '{method="GET",route="none"}': 1,
  })
})

test('streams are counted while they are open and by how they ended, their events by type, and runs once however many follow', async () => {
  const open = () => metrics.values('k8sclaw_streams_open')
  const feeds = () => metrics.values('k8sclaw_stream_feeds')
  const [told, left, gone] = [await startRun(), await startRun(), await startRun()]
  const url = `${served.base.replace('http', 'ws')}/api/v1/namespaces/red/runs`
  const reading = [ask(`red/runs/${told.name}/events`), ask(`red/runs/${told.name}/events`)]
  const socket = new WebSocket(`${url}/${left.name}/stream`, { headers: { authorization: `Bearer ${token}` } })
  const closed = ask(`red/runs/${gone.name}/events`)
  await expect.poll(open, patient).toEqual({ '': 4 })
  await expect.poll(feeds, patient).toEqual({ '': 3 })
  await expect
    .poll(() => metrics.values('k8sclaw_stream_events_total'), patient)
    .toEqual({ '{type="called"}': 4, '{type="text"}': 4 })

  await told.end()
  for (const one of reading) await (await one).text()
  socket.close()
  await served.cluster.admin.delete(agentRuns, { namespace: 'red', name: gone.name })
  await (await closed).text()
  await expect
    .poll(() => metrics.values('k8sclaw_streams_ended_total'), patient)
    .toEqual({ '{end="outcome"}': 2, '{end="left"}': 1, '{end="not_found"}': 1 })
  expect(await metrics.values('k8sclaw_stream_events_total')).toMatchObject({ '{type="outcome"}': 2 })
  await expect.poll(open, patient).toEqual({ '': 0 })
  await expect.poll(feeds, patient).toEqual({ '': 0 })
})

test('who comes so late that it has to be read from the bus again is counted', async () => {
  const { name, journal, end } = await startRun()
  const first = ask(`red/runs/${name}/events`)
  // More than is held in memory of a run, and of a kind that does not get smaller on its way.
  for (const id of ['a', 'b', 'c']) {
    const call = { id, tool: 'read_file', input: {}, inputHash: '0'.repeat(64) }
    await journal.append({ kind: 'called', call, verdict: { action: 'allow', reason: 'x' } })
    const output = { content: randomBytes(40_000).toString('base64') }
    await journal.append({ kind: 'answered', callId: id, tool: call.tool, answer: { ok: true, output }, durationMs: 1 })
  }
  const answered = async () => (await metrics.values('k8sclaw_stream_events_total'))['{type="answered"}']
  await expect.poll(answered, patient).toBe(3)
  expect(await metrics.values('k8sclaw_stream_apart_total')).toEqual({ '': 0 })
  const second = ask(`red/runs/${name}/events`)
  await expect.poll(answered, patient).toBe(6)
  await end()
  expect((await (await second).text()).match(/^event: /gm)).toEqual((await (await first).text()).match(/^event: /gm))
  expect(await metrics.values('k8sclaw_stream_apart_total')).toEqual({ '': 1 })
})
