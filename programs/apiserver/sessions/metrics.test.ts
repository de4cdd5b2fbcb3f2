import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams, publish } from '#core/bus'
import {
  historyCall,
  openJournal,
  publishUsage,
  sendIn,
  summaryCall,
  type TaskMessage,
  writeOutcome,
} from '#core/journal'
import { migrate, openStore, type Store } from '#core/store'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { startMetrics, type TestMetrics } from '../../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { endpointEmbedder } from '../memory/endpoint.ts'
import { MemoryPerformer } from '../memory/performer.ts'
import { runProjector } from './projector.ts'

/** An embedder that does not answer until it is let go, and then refuses: memories are found by their words. */
const letGo = Promise.withResolvers<void>()
const embeddings = createServer((_, response) => {
  void letGo.promise.then(() => response.writeHead(503).end())
})
const patient = { timeout: 20_000 }
const log = createLogger('test')
log.level = 'silent'
const run = { namespace: 'red', instance: 'bot', uid: 'measured' }

let nats: TestNats
let controller: Bus
let database: TestDatabase
let store: Store
let metrics: TestMetrics
const stop = new AbortController()
let running: Promise<void>

beforeAll(async () => {
  metrics = await startMetrics()
  await new Promise<void>((resolve) => embeddings.listen(0, '127.0.0.1', resolve))
  const [first] = databases
  if (!first) throw new Error('there is no database')
  ;[nats, database] = await Promise.all([startNats(), first.start()])
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  store = openStore({ url: database.url, log })
  await migrate(store)
  const { port } = embeddings.address() as AddressInfo
  const embedder = endpointEmbedder({ url: `http://127.0.0.1:${port}`, model: 'slow', dimensions: 3 })
  const memory = new MemoryPerformer({ store, log, embedder })
  const bus = await nats.connect({ kind: 'apiserver' })
  running = runProjector({ store, bus, log, signal: stop.signal, memory })
}, 120_000)
afterAll(async () => {
  stop.abort()
  await running
  await store?.close()
  await Promise.all([nats?.close(), database?.close(), metrics.close()])
  embeddings.closeAllConnections()
  embeddings.close()
})

const values = (prefix: string) => metrics.values(prefix)

const task: TaskMessage = {
  type: 'task',
  effective: {
    ...{ agent: 'default', model: { provider: 'demo', name: 'demo' }, image: 'x', isolation: 'kubernetes' },
    ...{ policy: { name: 'p', generation: 1 }, toolGating: { defaultAction: 'deny', rules: [] }, featureGates: {} },
    ...{ resources: { requests: { cpu: '1', memory: '1' }, limits: { memory: '1' } } },
    ...{ subagents: { maxDepth: 1, maxConcurrent: 1, maxChildrenPerAgent: 1 } },
    limits: { timeoutSeconds: 1, maxSteps: 1, maxTokens: 1 },
  },
  task: {
    ...{ version: 1, run: 'a-run', ...run, agent: 'default', sessionKey: 'chat', attempt: 1, task: 'x' },
    ...{ model: { provider: 'demo', name: 'demo' }, history: [], tools: [], skills: [], files: [] },
    limits: { timeoutSeconds: 1, maxSteps: 1, maxTokens: 1 },
  },
}

test('what is carried over is counted: entries, calls by verdict and answer, what was set aside, and that nothing is left', async () => {
  await ensureRunConsumers(controller, run)
  await sendIn(controller, run, task)
  const bridge = await nats.connect({ kind: 'bridge', run })
  const journal = await openJournal(bridge, run, 1, { signal: AbortSignal.timeout(20_000) })
  const allow = { action: 'allow', reason: 'x' } as const
  const hash = historyCall.inputHash
  await journal.append({ kind: 'called', call: historyCall, verdict: allow })
  await journal.append({ kind: 'called', call: { ...summaryCall, inputHash: hash, step: 1 }, verdict: allow })
  const output = { text: 'In short.', through: 'x', messages: 0, partial: false }
  await journal.append({
    ...{ kind: 'answered', callId: summaryCall.id, tool: summaryCall.tool, durationMs: 2_000 },
    answer: { ok: true, output },
  })
  await journal.append({
    kind: 'called',
    call: { id: 'model-2', tool: 'model', inputHash: hash, step: 2 },
    verdict: allow,
  })
  const made = { id: 'a', tool: 'made_up', inputHash: hash }
  await journal.append({ kind: 'called', call: made, verdict: { action: 'deny', reason: 'x' } })
  const denied = { ok: false, error: { code: 'denied', message: 'x' } } as const
  await journal.append({ kind: 'answered', callId: 'a', tool: 'made_up', answer: denied, durationMs: 1 })
  for (let i = 1; i <= 9; i++) {
    const call = { id: `m-${i}`, tool: 'memory_search', input: { query: 'x' }, inputHash: hash }
    await journal.append({ kind: 'called', call, verdict: allow })
  }
  const memoryCalls = async () => [
    (await values('k8sclaw_memory_calls_under_way'))[''],
    (await values('k8sclaw_memory_calls_waiting'))[''],
  ]
  await expect.poll(memoryCalls, patient).toEqual([8, 1])
  letGo.resolve()
  await expect.poll(memoryCalls, patient).toEqual([0, 0])
  await publish(controller, `k8sclaw.red.bot.run.${run.uid}-poisoned.in`, { type: 'task' }, { id: 'poison' })
  const at = new Date().toISOString()
  const used = { run: run.uid, attempt: 1, step: 2, at, provider: 'demo', model: 'demo', status: 200 }
  await publishUsage(await nats.connect({ kind: 'gateway' }), run, used, { id: 'x' })
  const usage = { inputTokens: 0, outputTokens: 0, modelCalls: 2, toolCalls: 1 }
  const end = { run: run.uid, attempt: 1, at, writer: 'controller' as const, usage }
  // After the answers of the memory calls, each of which is one more entry.
  await expect
    .poll(
      async () => (await store.db.selectFrom('record').selectAll().where('kind', '=', 'in').execute()).length,
      patient,
    )
    .toBe(11)
  await writeOutcome(controller, run, { ...end, phase: 'Succeeded', reason: 'Completed' })

  await expect
    .poll(() => values('k8sclaw_projection_entries_total'), patient)
    .toEqual({ '{stream="RUNS"}': 27, '{stream="USAGE"}': 1 })
  expect(await values('k8sclaw_projection_set_aside_total')).toEqual({ '{stream="RUNS"}': 1 })
  expect(await values('k8sclaw_calls_total')).toEqual({
    '{tool="history",action="allow"}': 1,
    '{tool="summary",action="allow"}': 1,
    '{tool="model",action="allow"}': 1,
    '{tool="other",action="deny"}': 1,
    '{tool="memory_search",action="allow"}': 9,
  })
  expect(await values('k8sclaw_call_seconds_count')).toEqual({
    '{tool="summary",result="ok"}': 1,
    '{tool="other",result="denied"}': 1,
  })
  expect(await values('k8sclaw_run_first_model_call_seconds_count')).toEqual({ '': 1 })
  expect((await values('k8sclaw_projection_seconds_count'))['{stream="USAGE"}']).toBe(1)
  expect(await values('k8sclaw_projection_leading')).toEqual({ '': 1 })
  const nothing = { '{stream="RUNS"}': 0, '{stream="USAGE"}': 0 }
  expect(await values('k8sclaw_projection_lag_entries')).toEqual(nothing)
  expect(await values('k8sclaw_projection_lag_seconds')).toEqual(nothing)
  // The bus is told once a second.
  await expect.poll(() => values('k8sclaw_projection_untold_entries'), patient).toEqual({ '': 0 })
})

test('what the database does not take is counted as behind until it does', async () => {
  const behind = async () => (await values('k8sclaw_projection_lag_entries'))['{stream="RUNS"}']
  const client = new Client({ connectionString: database.url })
  await client.connect()
  await client.query('begin')
  await client.query('lock table record in exclusive mode')
  await sendIn(controller, { ...run, uid: 'later' }, { ...task, task: { ...task.task, uid: 'later' } })
  await expect.poll(behind, patient).toBe(1)
  const age = async () => (await values('k8sclaw_projection_lag_seconds'))['{stream="RUNS"}']
  await expect.poll(age, patient).toBeGreaterThan(0)
  await client.query('commit')
  await client.end()
  await expect.poll(behind, patient).toBe(0)
  expect(await age()).toBe(0)
  await expect.poll(() => values('k8sclaw_projection_entries_total'), patient).toMatchObject({ '{stream="RUNS"}': 28 })
})

test('a replica that ends carries nothing any more', async () => {
  stop.abort()
  await running
  expect(await values('k8sclaw_projection_leading')).toEqual({})
  expect(await values('k8sclaw_projection_lag_entries')).toEqual({})
})
