import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams, isKept, publish, purgeRun, storePolicy } from '#core/bus'
import {
  conversation,
  historyCall,
  openJournal,
  publishUsage,
  readRun,
  sendIn,
  type TaskMessage,
  writeOutcome,
} from '#core/journal'
import type { ClawPolicy } from '#core/kinds'
import { compilePolicy } from '#core/policy'
import { listRuns, listSessions, migrate, openStore, rebuild, type Store, showSession } from '#core/store'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { startRelay } from '../../../test/support/relay.ts'
import { runProjector } from './projector.ts'
import { applyRetention } from './retention.ts'

const patient = { timeout: 20_000 }
const log = createLogger('test')
log.level = 'silent'

const taskOf = (uid: string, task: string): TaskMessage => ({
  type: 'task',
  effective: {
    ...{ agent: 'default', model: { provider: 'demo', name: 'demo' }, image: 'x', isolation: 'kubernetes' },
    ...{ policy: { name: 'p', generation: 1 }, toolGating: { defaultAction: 'deny', rules: [] }, featureGates: {} },
    ...{
      resources: { requests: { cpu: '1', memory: '1' }, limits: { memory: '1' } },
      subagents: { maxDepth: 1, maxConcurrent: 1, maxChildrenPerAgent: 1 },
    },
    limits: { timeoutSeconds: 1, maxSteps: 1, maxTokens: 1 },
  },
  task: {
    ...{ version: 1, run: uid, uid, namespace: 'red', instance: 'bot', agent: 'default', sessionKey: 'chat' },
    ...{ attempt: 1, task, model: { provider: 'demo', name: 'demo' }, history: [], tools: [], skills: [], files: [] },
    limits: { timeoutSeconds: 1, maxSteps: 1, maxTokens: 1 },
  },
})

describe.each(databases)('from the bus into $name', ({ start, concurrent }) => {
  let nats: TestNats
  let controller: Bus
  let gateway: Bus
  let database: TestDatabase
  let count = 0
  beforeAll(async () => {
    nats = await startNats()
    controller = await nats.connect({ kind: 'controller' })
    gateway = await nats.connect({ kind: 'gateway' })
    await ensureStreams(controller)
    database = await start()
  }, 120_000)
  afterAll(async () => {
    await nats?.close()
    await database?.close()
  })
  beforeEach(() => database.empty())

  /** A replica of the API server, as far as the record goes. */
  const replica = async (url = database.url) => {
    const store = openStore({ url, log })
    const stop = new AbortController()
    const bus = await nats.connect({ kind: 'apiserver' })
    const running = migrate(store).then(() => runProjector({ store, bus, log, signal: stop.signal }))
    const end = async () => {
      stop.abort()
      await running
      await store.close()
    }
    return { store, end }
  }
  const recorded = async (task: string): Promise<string> => {
    const uid = `run-${++count}`
    await sendIn(controller, { namespace: 'red', instance: 'bot', uid }, taskOf(uid, task))
    await concluded(uid, `${task}!`)
    return uid
  }
  const concluded = async (uid: string, result: string) => {
    const run = { namespace: 'red', instance: 'bot', uid }
    const at = new Date().toISOString()
    const used = { run: uid, attempt: 1, step: 1, at, provider: 'demo', model: 'demo', status: 200 }
    await publishUsage(gateway, run, { ...used, inputTokens: 1, outputTokens: 2 }, { id: 'x' })
    const usage = { inputTokens: 1, outputTokens: 2, modelCalls: 1, toolCalls: 0 }
    const common = { run: uid, attempt: 1, at, writer: 'controller' as const, usage }
    await writeOutcome(controller, run, { ...common, phase: 'Succeeded', reason: 'Completed', result })
  }
  const said = async (store: Store) => {
    const [session] = await listSessions(store, { namespace: 'red', limit: 1 })
    return (session && (await showSession(store, session)))?.messages.map((row) => row.content) ?? []
  }

  test('what is recorded is there once and in order, through replicas that end and begin', async () => {
    const before = await said0()
    const first = await replica()
    await recorded('one')
    await expect.poll(() => said(first.store), patient).toEqual([...before, 'one', 'one!'])
    const second = await replica()
    await recorded('two')
    await first.end()
    await recorded('three')
    const all = [...before, 'one', 'one!', 'two', 'two!', 'three', 'three!']
    await expect.poll(() => said(second.store), patient).toEqual(all)
    await expect
      .poll(async () => (await second.store.db.selectFrom('usage').select('agent').execute()).length, patient)
      .toBe(count)
    await second.end()
  })

  test('a database that goes away in the midst loses nothing of what is done meanwhile, and takes nothing twice', async () => {
    const before = await said0()
    const url = new URL(database.url)
    const relay = await startRelay(Number(url.port))
    url.port = String(relay.port)
    const { store, end } = await replica(url.href)
    await recorded('there')
    await expect.poll(() => said(store), patient).toEqual([...before, 'there', 'there!'])
    relay.cut()
    const meanwhile = Array.from({ length: 12 }, (_, i) => `away ${i}`)
    let last = ''
    for (const task of meanwhile) last = await recorded(task)
    expect(await isKept(controller, { namespace: 'red', instance: 'bot', uid: last })).toBe(false)
    relay.mend()
    const all = [...before, 'there', 'there!', ...meanwhile.flatMap((task) => [task, `${task}!`])]
    await expect.poll(() => said(store).catch(() => []), { timeout: 60_000 }).toEqual(all)
    await expect
      .poll(async () => (await store.db.selectFrom('usage').select('agent').execute()).length, patient)
      .toBe(count)
    await end()
    await relay.close()
  }, 120_000)

  test('an entry that cannot be read is set aside and shown, and holds nothing up', async () => {
    await publish(
      controller,
      `k8sclaw.red.bot.run.poison-${count}.outcome`,
      { nonsense: true },
      { id: `poison-${count}` },
    )
    const uid = await recorded('after')
    const { store, end } = await replica()
    await expect
      .poll(async () => (await listRuns(store, { namespace: 'red', limit: 1 })).runs[0]?.uid, patient)
      .toBe(uid)
    const aside = await store.db.selectFrom('set_aside').select(['subject', 'reason']).execute()
    expect(aside).toMatchObject([
      { subject: expect.stringContaining('.poison-'), reason: expect.stringContaining('outcome') },
    ])
    const before = await said(store)
    await rebuild(store)
    expect(await said(store)).toEqual(before)
    await end()
  })

  test('the bus may go and come back', async () => {
    const { store, end } = await replica()
    await recorded('before the crash')
    await nats.restart()
    const uid = await recorded('after the crash')
    await expect
      .poll(async () => (await listRuns(store, { namespace: 'red', limit: 1 })).runs[0], patient)
      .toMatchObject({ uid, phase: 'Succeeded' })
    await end()
  })

  test('a run that asks is told what was said before, in its inbox', async () => {
    const { end } = await replica()
    await recorded('the sky?')
    const run = { namespace: 'red', instance: 'bot', uid: `run-${++count}` }
    await sendIn(controller, run, taskOf(run.uid, 'and the sea?'))
    await ensureRunConsumers(controller, run)
    const within = AbortSignal.timeout(30_000)
    const journal = await openJournal(await nats.connect({ kind: 'bridge', run }), run, 1, { signal: within })
    await journal.append({ kind: 'called', call: historyCall, verdict: { action: 'allow', reason: 'test' } })
    const answer = async () => (await readRun(controller, run, within)).inbox.find(({ type }) => type === 'answer')
    await expect.poll(answer, patient).toMatchObject({ callId: historyCall.id, answer: { ok: true } })
    const told = await answer()
    const output = told?.type === 'answer' && told.answer.ok ? conversation.parse(told.answer.output) : undefined
    expect(output?.history.slice(-2)).toEqual([
      { role: 'user', content: 'the sky?' },
      { role: 'assistant', content: 'the sky?!' },
    ])
    await end()
    await concluded(run.uid, 'blue')
  })

  test('no run is forgotten by the bus before the database has it', async () => {
    const first = await replica()
    await recorded('known')
    await expect.poll(() => said(first.store), patient).toContain('known!')
    const run = { namespace: 'red', instance: 'bot', uid: `run-${count}` }
    await expect.poll(() => isKept(controller, run), patient).toBe(true)
    // Nobody reads: the database is away.
    await first.end()
    const unread = { ...run, uid: await recorded('unread') }
    expect(await isKept(controller, unread)).toBe(false)
    expect(await isKept(controller, run)).toBe(true)
    const second = await replica()
    await expect.poll(() => isKept(controller, unread), patient).toBe(true)
    await purgeRun(controller, unread)
    expect(await isKept(controller, unread)).toBe(true)
    expect(await said(second.store)).toContain('unread!')
    await second.end()
    await recorded('instead')
  })

  test('a bus that comes back without its store is read from its beginning, while the reader runs', async () => {
    const { store, end } = await replica()
    await recorded('of the first life')
    await expect.poll(async () => (await said(store)).at(-1), patient).toBe('of the first life!')
    const before = await said(store)
    await nats.restart({ loseStore: true })
    await recorded('of the second')
    await expect.poll(() => said(store), patient).toEqual([...before, 'of the second', 'of the second!'])
    await end()
  })

  test('what a policy in force keeps no longer is deleted, and comes back by nothing', async () => {
    const { store, end } = await replica()
    await recorded('to be forgotten')
    await expect.poll(async () => (await said(store)).at(-1), patient).toBe('to be forgotten!')
    const bus = await nats.connect({ kind: 'apiserver' })
    const { signal } = new AbortController()
    const tomorrow = new Date(Date.now() + 36 * 3_600_000)
    const stored = async (retention: object | undefined) => {
      const spec = { toolGating: { defaultAction: 'deny' as const, rules: [] }, featureGates: {}, retention }
      const policy = { ...{ apiVersion: 'v', kind: 'ClawPolicy' }, metadata: { name: 'p', namespace: 'red' }, spec }
      await storePolicy(controller, { namespace: 'red', name: 'p' }, compilePolicy(policy as ClawPolicy))
      await applyRetention({ store, bus, log, signal }, tomorrow)
    }
    await stored(undefined)
    await stored({ sessionsDays: 2 })
    expect(await said(store)).toContain('to be forgotten!')
    await stored({ sessionsDays: 1 })
    expect(await said(store)).toEqual([])
    await rebuild(store)
    expect(await said(store)).toEqual([])
    await storePolicy(controller, { namespace: 'red', name: 'p' }, null)
    await end()
  })

  test.runIf(concurrent)('two replicas that both run take each entry once', async () => {
    const [a, b] = await Promise.all([replica(), replica()])
    await recorded('for both')
    await expect.poll(async () => (await said(a.store)).at(-1), patient).toBe('for both!')
    expect(new Set(await said(b.store)).size).toBe((await said(b.store)).length)
    await Promise.all([a.end(), b.end()])
  })

  /** What earlier tests left on the bus. */
  async function said0(): Promise<string[]> {
    const { store, end } = await replica()
    await expect
      .poll(async () => (await listRuns(store, { namespace: 'red', limit: 1000 })).runs.length, patient)
      .toBe(count)
    const before = await said(store)
    await end()
    return before
  }
})
