import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import { type Answer, type Journal, openJournal, readRun, sendIn, type TaskMessage, writeOutcome } from '#core/journal'
import { deleteSession, listSessions, migrate, openStore, type Store } from '#core/store'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { runProjector } from '../sessions/projector.ts'
import type { Embedder } from './embedder.ts'
import { englishEmbedder } from './english.ts'
import { MemoryPerformer } from './performer.ts'

const patient = { timeout: 20_000 }
const log = createLogger('test')
log.level = 'silent'
const within = AbortSignal.timeout(300_000)

interface Owner {
  namespace?: string
  instance?: string
  sessionKey?: string | undefined
  memory?: TaskMessage['effective']['memory']
}
type Output = { id: string; memories: { id: string; content: string; scope: string; score: number }[] }

const taskOf = (
  uid: string,
  { namespace, instance, sessionKey, memory }: Owner & { namespace: string },
): TaskMessage => {
  const model = { provider: 'demo', name: 'demo' }
  const limits = { timeoutSeconds: 1, maxSteps: 1, maxTokens: 1 }
  return {
    type: 'task',
    effective: {
      ...{ agent: 'default', model, image: 'x', isolation: 'kubernetes', limits },
      ...{ policy: { name: 'p', generation: 1 }, toolGating: { defaultAction: 'allow', rules: [] }, featureGates: {} },
      resources: { requests: { cpu: '1', memory: '1' }, limits: { memory: '1' } },
      subagents: { maxDepth: 1, maxConcurrent: 1, maxChildrenPerAgent: 1 },
      ...(memory && { memory }),
    },
    task: {
      ...{ version: 1, run: uid, uid, namespace, instance: instance ?? 'bot', agent: 'default' },
      ...(sessionKey !== undefined && { sessionKey }),
      ...{ attempt: 1, task: 'go', model, history: [], tools: [], skills: [], files: [], limits },
    },
  }
}

describe.each(databases)('on $name', ({ start }) => {
  let nats: TestNats
  let controller: Bus
  let database: TestDatabase
  let store: Store
  let embedder: Embedder
  let count = 0
  beforeAll(async () => {
    nats = await startNats()
    controller = await nats.connect({ kind: 'controller' })
    await ensureStreams(controller)
    database = await start()
    store = openStore({ url: database.url, log })
    embedder = englishEmbedder()
    await migrate(store)
  }, 120_000)
  afterAll(async () => {
    await embedder?.close()
    await store?.close()
    await nats?.close()
    await database?.close()
  })
  // Tests share the database, as they share the bus: each has namespaces of its own.
  beforeEach(() => {
    team = `team-${++count}`
  })
  let team: string

  const of = () => store.db.selectFrom('memories').where('namespace', '=', team)
  const kept = () => of().select('id').execute()

  /** A replica of the API server, as far as memory goes. */
  const replica = async () => {
    const stop = new AbortController()
    const bus = await nats.connect({ kind: 'apiserver' })
    const memory = new MemoryPerformer({ store, embedder, log })
    const running = runProjector({ store, bus, log, signal: stop.signal, memory })
    return async () => {
      stop.abort()
      await running
    }
  }

  /** A run, and its bridge as far as others see it. */
  const run = async (wanted: Owner = {}) => {
    const owner = { namespace: team, ...wanted }
    const uid = `remembering-${process.pid}-${++count}`
    const address = { namespace: owner.namespace, instance: owner.instance ?? 'bot', uid }
    await sendIn(controller, address, taskOf(uid, owner))
    await ensureRunConsumers(controller, address)
    const bus = await nats.connect({ kind: 'bridge', run: address })
    const journal: Journal = await openJournal(bus, address, 1, { signal: within })
    let calls = 0
    const ask = async (tool: string, input: unknown, action: 'allow' | 'deny' = 'allow') => {
      const call = { id: `c${++calls}`, tool, input, inputHash: 'a'.repeat(64) }
      await journal.append({ kind: 'called', call, verdict: { action, reason: 'test' } })
      return call.id
    }
    const answerTo = async (id: string): Promise<Answer | undefined> => {
      const { inbox } = await readRun(controller, address, within)
      const found = inbox.find((message) => message.type === 'answer' && message.callId === id && message.attempt === 1)
      return found?.type === 'answer' ? found.answer : undefined
    }
    const answered = async (id: string): Promise<Answer> => {
      await expect.poll(() => answerTo(id), patient).toBeDefined()
      return (await answerTo(id)) ?? { ok: true, output: undefined }
    }
    const call = async (tool: string, input: unknown) => await answered(await ask(tool, input))
    const output = async (tool: string, input: unknown) => {
      const answer = await call(tool, input)
      if (!answer.ok) throw new Error(`${answer.error.code}: ${answer.error.message}`)
      return answer.output as Output
    }
    const found = async (query: string, more: object = {}) =>
      (await output('memory_search', { query, ...more })).memories.map(({ content }) => content)
    const end = async () => {
      const usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }
      const common = { run: uid, attempt: 1, at: new Date().toISOString(), writer: 'controller' as const, usage }
      await writeOutcome(controller, address, { ...common, phase: 'Succeeded', reason: 'Completed' })
    }
    return { uid, ask, answerTo, answered, call, output, found, end }
  }

  test('what one run stores the next of its session finds, with where it came from, and may forget', async () => {
    const stop = await replica()
    const first = await run({ sessionKey: 'chat' })
    const stored = await first.output('memory_store', { content: 'The customer prefers tea over coffee' })
    expect(stored).toEqual({ id: stored.id, scope: 'session', known: false })
    expect(await first.output('memory_store', { content: 'The customer prefers tea over coffee' })).toMatchObject({
      id: stored.id,
      known: true,
    })
    await first.output('memory_store', { content: 'Deployments happen on Fridays' })
    await first.end()
    const second = await run({ sessionKey: 'chat' })
    const { memories } = await second.output('memory_search', { query: 'what do customers prefer to drink?', limit: 1 })
    expect(memories).toMatchObject([
      {
        id: stored.id,
        content: 'The customer prefers tea over coffee',
        scope: 'session',
        storedBy: { run: first.uid },
      },
    ])
    expect(await second.output('memory_forget', { id: stored.id })).toEqual({ id: stored.id, forgotten: true })
    expect(await second.output('memory_forget', { id: stored.id })).toEqual({ id: stored.id, forgotten: false })
    expect(await second.found('customer tea')).not.toContain('The customer prefers tea over coffee')
    await stop()
  })

  test('no run reaches another namespace, instance, session or user, nor a scope that it has not', async () => {
    const stop = await replica()
    const all = ['session' as const, 'user' as const, 'instance' as const]
    const ann = { scopes: all, user: 'ann' }
    const owner = await run({ sessionKey: 'chat', memory: ann })
    const ids: string[] = []
    for (const scope of all) ids.push((await owner.output('memory_store', { content: `secret of ${scope}`, scope })).id)
    expect((await owner.found('secret')).length).toBe(3)
    const sees = async (who: Owner) => {
      const other = await run(who)
      const seen = (await other.found('secret')).map((content) => content.replace('secret of ', '')).sort()
      const beyond = all.filter((scope) => !seen.includes(scope))
      for (const scope of beyond) {
        const id = ids[all.indexOf(scope)]
        expect(await other.output('memory_forget', { id })).toMatchObject({ forgotten: false })
      }
      return seen
    }
    expect(await sees({ namespace: `${team}-blue`, sessionKey: 'chat', memory: ann })).toEqual([])
    expect(await sees({ instance: 'other', sessionKey: 'chat', memory: ann })).toEqual([])
    expect(await sees({ sessionKey: 'elsewhere' })).toEqual([])
    expect(await sees({ memory: { scopes: ['session', 'user'] } })).toEqual([])
    expect(await sees({ sessionKey: 'x', memory: { scopes: ['user'], user: 'bob' } })).toEqual([])
    expect(await sees({ sessionKey: 'x', memory: { scopes: ['user'], user: 'ann' } })).toEqual(['user'])
    expect(await sees({ sessionKey: 'x', memory: { ...ann, user: 'bob' } })).toEqual(['instance'])
    expect(await sees({ sessionKey: 'chat' })).toEqual(['session'])
    const narrow = await run({ sessionKey: 'chat' })
    for (const scope of ['user', 'instance']) {
      for (const [tool, input] of [
        ['memory_store', { content: 'x', scope }],
        ['memory_search', { query: 'secret', scope }],
      ] as const)
        expect(await narrow.call(tool, input)).toMatchObject({ ok: false, error: { code: 'denied' } })
    }
    await stop()
  })

  test('what the bridge refused, or what is no input of the tool, is not performed', async () => {
    const stop = await replica()
    const one = await run({ sessionKey: 'chat' })
    const refused = await one.ask('memory_store', { content: 'refused' }, 'deny')
    expect(await one.call('memory_store', { content: '' })).toMatchObject({ error: { code: 'invalid_input' } })
    expect(await one.call('memory_search', 'tea')).toMatchObject({ error: { code: 'invalid_input' } })
    expect(await one.found('refused')).toEqual([])
    expect(await one.answerTo(refused)).toBeUndefined()
    await stop()
  })

  test('a call that a replica was killed over is performed by the next', async () => {
    const one = await run({ sessionKey: 'chat' })
    const id = await one.ask('memory_store', { content: 'late but kept' })
    // As far as the first replica came: the record is kept, nothing is performed.
    const stop = new AbortController()
    const bus = await nats.connect({ kind: 'apiserver' })
    const projecting = runProjector({ store, bus, log, signal: stop.signal })
    const recorded = () => store.db.selectFrom('record').select('sequence').where('run', '=', one.uid).execute()
    await expect.poll(async () => (await recorded()).length, patient).toBe(2)
    stop.abort()
    await projecting
    expect(await one.answerTo(id)).toBeUndefined()
    const end = await replica()
    expect(await one.answered(id)).toMatchObject({ ok: true, output: { known: false } })
    expect(await one.found('kept')).toEqual(['late but kept'])
    await end()
  })

  test('a session that is deleted under a run takes its memories along and takes no more', async () => {
    const stop = await replica()
    const one = await run({ sessionKey: 'chat' })
    await one.output('memory_store', { content: 'gone' })
    const [session] = await listSessions(store, { namespace: team, limit: 1 })
    if (session) await deleteSession(store, session, new Date())
    expect(await kept()).toEqual([])
    const id = await one.ask('memory_store', { content: 'back' })
    await sleep(500)
    expect(await one.answerTo(id)).toSatisfy((answer?: Answer) => answer === undefined || !answer.ok)
    expect(await kept()).toEqual([])
    await stop()
  })

  test('an embedder that is away leaves memories to be found by their words, and their meaning to be made up for', async () => {
    const away: Embedder = {
      space: embedder.space,
      embed: () => Promise.reject(new Error('away')),
      close: async () => {},
    }
    const working = embedder
    embedder = away
    const first = await replica()
    const one = await run({ sessionKey: 'chat' })
    await one.output('memory_store', { content: 'The customer prefers tea' })
    expect(await one.output('memory_search', { query: 'tea' })).toMatchObject({
      memories: [{ content: 'The customer prefers tea' }],
      searchedBy: ['words'],
    })
    await first()
    embedder = working
    const second = await replica()
    const vectors = () => of().select('embedding_model').execute()
    const { searchedBy } = (await one.output('memory_search', { query: 'x' })) as unknown as { searchedBy: string[] }
    const model = searchedBy.includes('meaning') ? embedder.space.model : null
    await expect.poll(vectors, patient).toEqual([{ embedding_model: model }])
    await second()
  })
})
