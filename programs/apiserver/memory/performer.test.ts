import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import {
  type Answer,
  embeddingCall,
  encodeVector,
  type Journal,
  type Meaning,
  openJournal,
  readRun,
  sendIn,
  type TaskMessage,
  writeOutcome,
} from '#core/journal'
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
    const ask = async (tool: string, input: unknown, action: 'allow' | 'deny' = 'allow', meaning?: Meaning) => {
      const call = { id: `c${++calls}`, tool, input, inputHash: 'a'.repeat(64) }
      const verdict = { action, reason: 'test' }
      await journal.append({ kind: 'called', call, verdict, ...(meaning && { meaning }) })
      return call.id
    }
    const messageTo = async (id: string) => {
      const { inbox } = await readRun(controller, address, within)
      const found = inbox.find((message) => message.type === 'answer' && message.callId === id && message.attempt === 1)
      return found?.type === 'answer' ? found : undefined
    }
    const answerTo = async (id: string): Promise<Answer | undefined> => (await messageTo(id))?.answer
    /** What a bridge records of memories that it had embedded. */
    const embedded = async (space: Omit<Meaning, 'vector'>, vectors: Record<string, number[]>) => {
      const memories = Object.entries(vectors).map(([id, values]) => ({ id, vector: encodeVector(values) }))
      const [callId, tool] = [`${embeddingCall.prefix}${++calls}`, embeddingCall.tool]
      const answer = { ok: true as const, output: { ...space, memories } }
      await journal.append({ kind: 'answered', callId, tool, answer, durationMs: 1 })
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
    return { uid, ask, messageTo, answerTo, answered, embedded, call, output, found, end }
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

  describe('of an instance that compares them by a model of its own', () => {
    const own = { model: 'vectors/v', dimensions: 3 }
    const embeddings = { provider: 'vectors', name: 'v', dimensions: 3, shortened: false }
    const memory = { scopes: ['user' as const], user: 'ann', embeddings }
    const east = [1, 0, 0]
    const north = [0, 1, 0]
    const vectorsOf = () =>
      of().select(['content', 'embedding_model as model', 'embedding_dimensions as dimensions']).orderBy('content')
    const meant = (values: number[]): Meaning => ({ ...own, vector: encodeVector(values) })
    const told = async (one: Awaited<ReturnType<typeof run>>, id: string) => {
      await one.answered(id)
      return (await one.messageTo(id))?.unembedded
    }

    test('what is stored is given to its bridge to be embedded, and then found by its meaning', async ({ skip }) => {
      const stop = await replica()
      const one = await run({ memory })
      const store = async (content: string) => await one.ask('memory_store', { content, scope: 'user' })
      const first = await told(one, await store('tea'))
      if (first === undefined) {
        await stop()
        skip('this server has no pgvector')
      }
      const [tea] = first ?? []
      expect(first).toEqual([{ id: tea?.id, content: 'tea' }])
      const second = await told(one, await store('coffee'))
      expect(second?.map(({ content }) => content)).toEqual(['coffee', 'tea'])
      await one.embedded(own, { [tea?.id ?? '']: east, [second?.[0]?.id ?? '']: north })
      await one.end()
      await expect
        .poll(() => vectorsOf().execute(), patient)
        .toEqual([
          { content: 'coffee', ...own },
          { content: 'tea', ...own },
        ])
      const next = await run({ memory })
      const search = await next.ask('memory_search', { query: 'x', limit: 1 }, 'allow', meant(north))
      expect(await next.answered(search)).toMatchObject({
        output: { memories: [{ content: 'coffee' }], searchedBy: ['meaning', 'words'] },
      })
      // All have their vector: nothing is wanted of the bridge, and the platform sends none of it to its own model.
      expect(await told(next, search)).toBeUndefined()
      await stop()
    })

    test('no run brings vectors to what it may not see, nor of another model or length', async ({ skip }) => {
      const stop = await replica()
      const bob = await run({ memory: { ...memory, user: 'bob' } })
      const blue = await run({ namespace: `${team}-blue`, memory })
      const other = await run({ instance: 'other', memory })
      const ann = await run({ memory })
      const ids: string[] = []
      for (const one of [bob, blue, other, ann]) {
        const wanted = await told(one, await one.ask('memory_store', { content: 'tea', scope: 'user' }))
        if (wanted === undefined) {
          await stop()
          skip('this server has no pgvector')
        }
        ids.push(...(wanted ?? []).map(({ id }) => id))
      }
      expect(new Set(ids).size).toBe(4)
      const all = Object.fromEntries(ids.map((id) => [id, east]))
      await ann.embedded({ model: 'other/v', dimensions: 3 }, all)
      await ann.embedded({ ...own, dimensions: 4 }, Object.fromEntries(ids.map((id) => [id, [1, 0, 0, 0]])))
      await ann.embedded(own, Object.fromEntries(ids.map((id) => [id, [0, 0, 0]])))
      await ann.embedded(own, all)
      const embedded = () =>
        store.db
          .selectFrom('memories')
          .select(['namespace', 'instance', 'owner'])
          .where('embedding_model', 'in', [own.model, 'other/v'])
          .where('id', 'in', ids)
          .execute()
      await expect.poll(embedded, patient).toEqual([{ namespace: team, instance: 'bot', owner: 'ann' }])
      const search = await bob.ask('memory_search', { query: 'x' }, 'allow', meant(east))
      expect(await bob.answered(search)).toMatchObject({ output: { memories: [] } })
      await stop()
    })

    test('a query without a vector, or with one of another length, finds by words', async () => {
      const stop = await replica()
      const one = await run({ memory })
      await one.output('memory_store', { content: 'the customer drinks tea', scope: 'user' })
      const short = { model: own.model, dimensions: 1, vector: encodeVector([1]) }
      const torn = { ...own, vector: encodeVector([Number.NaN, 1, 1]) }
      for (const meaning of [undefined, short, torn]) {
        const answer = await one.answered(await one.ask('memory_search', { query: 'tea' }, 'allow', meaning))
        expect(answer).toMatchObject({
          output: { memories: [{ content: 'the customer drinks tea' }], searchedBy: ['words'] },
        })
      }
      await stop()
    })

    test('an instance that goes back to the model of the platform has its vectors made there again', async ({
      skip,
    }) => {
      const stop = await replica()
      const one = await run({ memory })
      const wanted = await told(one, await one.ask('memory_store', { content: 'tea', scope: 'user' }))
      if (wanted === undefined) {
        await stop()
        skip('this server has no pgvector')
      }
      await one.embedded(own, { [wanted?.[0]?.id ?? '']: east })
      await expect.poll(() => vectorsOf().execute(), patient).toEqual([{ content: 'tea', ...own }])
      await one.end()
      const back = await run({ memory: { scopes: ['user'], user: 'ann' } })
      await back.output('memory_search', { query: 'x' })
      await stop()
      // It is seen to when a replica begins to, and every minute.
      const next = await replica()
      const { model, dimensions } = embedder.space
      await expect.poll(() => vectorsOf().execute(), patient).toEqual([{ content: 'tea', model, dimensions }])
      await next()
    })
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
