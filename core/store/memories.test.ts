import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, databasesWithoutVectors, type TestDatabase } from '../../test/support/database.ts'
import {
  addVectors,
  chooseSpace,
  deleteMemories,
  deleteMemory,
  deleteSession,
  expireMemories,
  findMemory,
  forgetMemory,
  hasOwnSpace,
  listMemories,
  listSessions,
  type MemoryHolder,
  type MemoryQuery,
  type MemoryScope,
  memoryHolder,
  memoryLimits,
  migrate,
  openCalls,
  openStore,
  prepareVectors,
  project,
  type RecordEntry,
  rebuild,
  type Store,
  searchMemories,
  searchPlace,
  storeMemory,
  unembedded,
  withoutVector,
} from './index.ts'
import { explainSearch } from './memory-search.ts'

const start = Date.parse('2026-03-01T12:00:00Z')
const later = (seconds: number) => new Date(start + seconds * 1000)
const space = { model: "it's a model", dimensions: 4 }

describe.each([...databases, ...databasesWithoutVectors()])('on $name', ({ start: startDatabase }) => {
  let database: TestDatabase
  let store: Store
  beforeAll(async () => {
    database = await startDatabase()
    store = openStore({ url: database.url, log: createLogger('test') })
  }, 120_000)
  afterAll(async () => {
    await store?.close()
    await database?.close()
  })
  beforeEach(async () => {
    await database.empty()
    await migrate(store)
    calls = 0
  })
  let calls = 0

  const holder = (owners: MemoryHolder['owners'], namespace = 'red', instance = 'bot') => ({
    namespace,
    instance,
    owners,
  })
  const everywhere = holder({ user: 'ann', instance: '' })
  const keep = (who: MemoryHolder, content: string, scope: MemoryScope = 'user', more: object = {}) => {
    const call = `call-${++calls}`
    return storeMemory(store, who, {
      ...{ scope, content, run: 'run', attempt: 1, call, at: later(calls), expiresAt: undefined },
      ...more,
    })
  }
  const find = async (who: MemoryHolder, text: string, more: Partial<MemoryQuery> = {}) =>
    await searchMemories(store, who, { text, limit: 5, now: later(1000), ...more })
  const contents = async (...args: Parameters<typeof find>) => (await find(...args)).map(({ content }) => content)

  const begun = (run: string, sequence: number, key: string | undefined, memory: object | undefined): RecordEntry => ({
    ...{ stream: 'RUNS', sequence, namespace: 'red', instance: 'bot', run, at: later(sequence), kind: 'in' },
    body: {
      type: 'task',
      task: { run, agent: 'default', sessionKey: key, task: 'a\0b', model: { provider: 'demo', name: 'demo' } },
      effective: { policy: { name: 'p' }, memory },
    },
  })
  const take = (entries: RecordEntry[]) =>
    project(store, {
      ...{ stream: 'RUNS', created: 'x', entries, setAside: [] },
      through: entries.at(-1)?.sequence ?? 0,
    })

  test('what was stored is found by any of its words, in any of their forms, best first and with where it came from', async () => {
    await keep(everywhere, 'The customer prefers tea over coffee')
    await keep(everywhere, 'Deployments happen on Fridays', 'instance')
    await keep(everywhere, 'Tea is bought by the customer herself; the customer pays')
    const found = await find(everywhere, 'what would customers prefer?')
    expect(found).toMatchObject([
      { content: 'The customer prefers tea over coffee', scope: 'user', run: 'run', call: 'call-1' },
      { content: expect.stringContaining('herself') },
    ])
    expect(found[0]?.createdAt).toEqual(later(1))
    expect(found[0]?.score).toBeGreaterThan(found[1]?.score ?? 1)
    expect(await contents(everywhere, 'deployment friday', { scope: 'instance' })).toEqual([
      'Deployments happen on Fridays',
    ])
    expect(await contents(everywhere, 'deployment friday', { scope: 'user' })).toEqual([])
    expect(await contents(everywhere, 'tea', { limit: 1 })).toHaveLength(1)
    expect(await contents(everywhere, 'the of and')).toEqual([])
  })

  test('no text breaks a search or what is stored', async () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.stringMatching(/^[&|!():*'"\\<>\0 a-z-]*$/))
    await fc.assert(
      fc.asyncProperty(text, async (odd) => {
        await keep(everywhere, `word ${odd}`)
        expect((await find(everywhere, `word ${odd}`)).length).toBeGreaterThan(0)
        await find(everywhere, odd)
      }),
      { numRuns: 60 },
    )
  })

  test('the same content in the same place is one memory, which tells of its first storing', async () => {
    const first = await keep(everywhere, 'umbrella')
    expect(first.known).toBe(false)
    expect(await keep(everywhere, 'umbrella')).toEqual({ id: first.id, known: true })
    expect((await keep(everywhere, 'umbrella', 'instance')).id).not.toBe(first.id)
    expect((await keep(holder({ user: 'bob' }), 'umbrella')).id).not.toBe(first.id)
    expect(await find(everywhere, 'umbrella', { scope: 'user' })).toMatchObject([{ id: first.id, call: 'call-1' }])
  })

  test('what expires is gone from that moment, and is kept where it is stored again without an end', async () => {
    await keep(everywhere, 'short', 'user', { expiresAt: later(500) })
    await keep(everywhere, 'shorter', 'user', { expiresAt: later(500) })
    expect(await contents(everywhere, 'short shorter', { now: later(499) })).toHaveLength(2)
    await keep(everywhere, 'short')
    expect(await contents(everywhere, 'short shorter', { now: later(500) })).toEqual(['short'])
    expect(await expireMemories(store, later(499))).toBe(0)
    expect(await expireMemories(store, later(500))).toBe(1)
    expect(await contents(everywhere, 'short shorter', { now: later(0) })).toEqual(['short'])
  })

  test('nobody finds or forgets what is of another namespace, instance, user or session', async () => {
    const owners = { user: 'ann', instance: '' }
    const { id } = await keep(everywhere, 'secret')
    const { id: shared } = await keep(everywhere, 'secret', 'instance')
    const others = [
      holder(owners, 'blue'),
      holder(owners, 'red', 'bot2'),
      holder({ user: 'bob' }),
      holder({ session: 'ann' }),
      holder({ user: '' }),
      holder({}),
    ]
    for (const other of others) {
      expect(await contents(other, 'secret')).toEqual([])
      expect(await forgetMemory(store, other, { id: id, at: later(1000) })).toBe(false)
      expect(await forgetMemory(store, other, { id: shared, at: later(1000) })).toBe(false)
    }
    await expect(find(holder({ user: 'ann' }), 'secret', { scope: 'instance' })).rejects.toMatchObject({
      code: 'forbidden',
    })
    await expect(keep(holder({ user: 'ann' }), 'x', 'instance')).rejects.toMatchObject({ code: 'forbidden' })
    expect(await contents(holder({ user: 'ann' }), 'secret')).toEqual(['secret'])
    expect(await contents(holder({ user: 'bob', instance: '' }), 'secret')).toEqual(['secret'])
    expect(await forgetMemory(store, everywhere, { id: id, at: later(1000) })).toBe(true)
    expect(await forgetMemory(store, everywhere, { id: id, at: later(1000) })).toBe(false)
    expect(await find(everywhere, 'secret')).toMatchObject([{ id: shared }])
  })

  const listed = async (place: object, namespace = 'red') =>
    (await listMemories(store, { namespace, limit: 10, now: later(1000), ...place })).map(({ content }) => content)

  test('people see those of their namespace, by instance, scope and owner, the newest first and in pages', async () => {
    await keep(everywhere, 'tea for ann')
    await keep(holder({ user: 'bob' }), 'tea for bob')
    await keep(everywhere, 'tea for all', 'instance')
    await keep(holder({ instance: '' }, 'red', 'bot2'), 'tea of another bot', 'instance')
    await keep(everywhere, 'old tea', 'user', { expiresAt: later(900) })
    await keep(holder({ user: 'ann' }, 'blue'), 'blue tea')
    expect(await listed({})).toEqual(['tea of another bot', 'tea for all', 'tea for bob', 'tea for ann'])
    expect(await listed({ instance: 'bot' })).toEqual(['tea for all', 'tea for bob', 'tea for ann'])
    expect(await listed({ scope: 'user' })).toEqual(['tea for bob', 'tea for ann'])
    expect(await listed({ scope: 'user', owner: 'ann' })).toEqual(['tea for ann'])
    expect(await listed({ owner: "' or true --" })).toEqual([])
    const [first] = await listMemories(store, { namespace: 'red', limit: 1, now: later(1000) })
    const after = first && { at: first.createdAt, id: first.id }
    expect(await listed({ after, limit: 2 })).toEqual(['tea for all', 'tea for bob'])
    const of = (more: object) => ({ namespace: 'red', ...more })
    const query = { text: 'tea', limit: 10, now: later(1000) }
    const found = async (place: object) => (await searchPlace(store, of(place), query)).map(({ content }) => content)
    expect((await found({})).sort()).toEqual((await listed({})).sort())
    expect(await found({ owner: 'bob' })).toEqual(['tea for bob'])
    const id = first?.id ?? ''
    expect(await findMemory(store, { namespace: 'red', id }, later(1000))).toEqual(first)
    expect(await findMemory(store, { namespace: 'blue', id }, later(1000))).toBeUndefined()
  })

  test('what was deleted does not come back with a call from before, and does with one from after', async () => {
    const at = later(10)
    const { id } = await keep(everywhere, 'wrong', 'user', { at })
    expect(await deleteMemory(store, { namespace: 'blue', id }, later(20))).toBe(false)
    expect(await deleteMemory(store, { namespace: 'red', id }, later(20))).toBe(true)
    expect(await deleteMemory(store, { namespace: 'red', id }, later(20))).toBe(false)
    await expect(keep(everywhere, 'wrong', 'user', { at })).rejects.toMatchObject({ code: 'gone' })
    await rebuild(store)
    expect(await listed({})).toEqual([])
    expect(await keep(everywhere, 'wrong', 'user', { at: later(21) })).toEqual({ id, known: false })
    expect(await listed({})).toEqual(['wrong'])
    await forgetMemory(store, everywhere, { id, at: later(30) })
    await expect(keep(everywhere, 'wrong', 'user', { at: later(29) })).rejects.toMatchObject({ code: 'gone' })
    await expireMemories(store, later(30 + 2 * 24 * 60 * 60))
    expect(await store.db.selectFrom('forgotten_memories').selectAll().execute()).toEqual([])
  })

  test('all of a place are deleted, and none of another', async () => {
    await fill(everywhere, 'user', 1200)
    await keep(holder({ user: 'bob' }), 'of bob')
    await keep(everywhere, 'of all', 'instance')
    await keep(holder({ user: 'ann' }, 'red', 'bot2'), 'of another bot')
    await keep(holder({ user: 'ann' }, 'blue'), 'of blue')
    const place = { namespace: 'red', instance: 'bot', scope: 'user' as const }
    expect(await deleteMemories(store, { ...place, owner: 'ann' }, later(1000))).toBe(1200)
    expect(await deleteMemories(store, { ...place, owner: 'ann' }, later(1000))).toBe(0)
    expect(await listed({})).toEqual(['of another bot', 'of all', 'of bob'])
    expect(await deleteMemories(store, place, later(1000))).toBe(1)
    expect(await listed({}, 'blue')).toEqual(['of blue'])
  })

  test('a user, a session and an instance have room for so many, and who has no room is told', async () => {
    const [owner, all] = [memoryLimits.owner, memoryLimits.instance]
    await fill(everywhere, 'user', owner - 1)
    const last = await keep(everywhere, 'the last')
    expect(await keep(everywhere, 'the last')).toEqual({ id: last.id, known: true })
    await expect(keep(everywhere, 'one more')).rejects.toMatchObject({
      ...{
        code: 'too_large',
        message: `this user has ${owner} memories, which is the most: forget some, or let them expire`,
      },
    })
    await keep(everywhere, 'there is room for all', 'instance')
    await keep(holder({ user: 'bob' }), 'and for bob')
    await forgetMemory(store, everywhere, { id: last.id, at: later(1000) })
    await keep(everywhere, 'one more')
    await fill(everywhere, 'instance', all - owner - 2)
    await expect(keep(everywhere, 'too much', 'instance')).rejects.toMatchObject({ code: 'too_large' })
    await expect(keep(holder({ user: 'bob' }), 'too much')).rejects.toMatchObject({
      message: expect.stringContaining(`this instance has ${all}`),
    })
    await keep(holder({ user: 'bob' }, 'red', 'bot2'), 'another instance has its own')
  }, 120_000)

  /** Puts so many there, at once. */
  const fill = async ({ namespace, instance, owners }: MemoryHolder, scope: MemoryScope, count: number) => {
    await sql`insert into memories (id, namespace, instance, scope, owner, content, run, attempt, call, created_at)
      select md5(${scope} || i), ${namespace}, ${instance}, ${scope}, ${owners[scope]}, 'n' || i, 'r', 1, 'c', ${later(0)}::timestamptz
      from generate_series(1, ${count}::int) i`.execute(store.db)
  }

  test('how far a run reaches, and whether it is over, stands in its record', async () => {
    await take([
      begun('a', 1, 'chat', undefined),
      begun('b', 2, 'chat', { scopes: ['session', 'user', 'instance'], user: 'ann' }),
      begun('c', 3, undefined, { scopes: ['session', 'user'] }),
    ])
    const [chat] = await listSessions(store, { namespace: 'red', limit: 1 })
    const held = (run: string, namespace = 'red', instance = 'bot') => memoryHolder(store, { namespace, instance, run })
    const under = (owners: MemoryHolder['owners'], seconds: number) => ({
      ...{ ...holder(owners), since: later(seconds), over: false },
    })
    expect(await held('a')).toEqual(under({ session: chat?.id ?? '' }, 1))
    expect(await held('b')).toEqual(under({ session: chat?.id ?? '', user: 'ann', instance: '' }, 2))
    expect(await held('c')).toEqual(under({}, 3))
    for (const nobody of [held('d'), held('a', 'blue'), held('a', 'red', 'bot2')]) expect(await nobody).toBeUndefined()
    const body = { phase: 'Succeeded', reason: 'Completed', usage: { modelCalls: 0, toolCalls: 0 } }
    await take([{ ...begun('a', 4, undefined, undefined), kind: 'outcome', body }])
    expect(await held('a')).toMatchObject({ over: true })
  })

  test('the memories of a session go with it, and only those; making rows again keeps them', async () => {
    await take([begun('a', 1, 'chat', undefined), begun('b', 2, 'other', undefined)])
    const [other, chat] = await listSessions(store, { namespace: 'red', limit: 2 })
    if (!chat || !other) throw new Error('there are no sessions')
    for (const { id } of [chat, other]) await keep(holder({ session: id }), 'said', 'session')
    await rebuild(store)
    expect(await contents(holder({ session: chat.id }), 'said')).toEqual(['said'])
    await deleteSession(store, chat, later(60))
    expect(await contents(holder({ session: chat.id }), 'said')).toEqual([])
    expect(await contents(holder({ session: other.id }), 'said')).toEqual(['said'])
    await expect(keep(holder({ session: chat.id }), 'late', 'session')).rejects.toMatchObject({ code: 'gone' })
  })

  test('calls without an answer are known to who comes after', async () => {
    const entry = (sequence: number, run: string, body: object): RecordEntry => ({
      ...begun(run, sequence, undefined, undefined),
      kind: 'journal',
      body: { attempt: 1, ...body },
    })
    const called = (sequence: number, run: string, id: string, tool = 'memory_store') =>
      entry(sequence, run, { kind: 'called', call: { id, tool, input: { content: '"memory_x' } } })
    await take([
      called(1, 'a', 'early'),
      called(10, 'a', 'open'),
      called(11, 'a', 'done'),
      entry(12, 'a', { kind: 'answered', callId: 'done', tool: 'memory_store' }),
      called(13, 'b', 'done'),
      called(14, 'b', 'other', 'exec'),
    ])
    const open = await openCalls(store, 'memory_', later(10))
    expect(open.map(({ run, body }) => [run, (body as { call: { id: string } }).call.id])).toEqual([
      ['a', 'open'],
      ['b', 'done'],
    ])
  })

  describe('vectors', () => {
    let there: boolean
    beforeEach(async () => {
      there = await prepareVectors(store, space, true)
    })
    const vector = (...values: number[]) => ({ ...space, values })

    test('are had where the server has pgvector; without it, memories are found by their words', async ({ skip }) => {
      expect(await prepareVectors(store, space, true)).toBe(there)
      if (there) skip('this server has pgvector')
      await keep(everywhere, 'tea')
      expect(await contents(everywhere, 'tea')).toEqual(['tea'])
    })

    test('find what has none of the words, and what is best in both rankings comes first', async ({ skip }) => {
      if (!there) skip('this server has no pgvector')
      await keep(everywhere, 'a warm drink', 'user', { vector: vector(1, 0, 0, 0) })
      await keep(everywhere, 'tea is a drink', 'user', { vector: vector(0.9, 0.1, 0, 0) })
      await keep(everywhere, 'about tea', 'user', { vector: vector(0, 0, 0, 1) })
      expect(await contents(everywhere, 'tea', { vector: vector(1, 0, 0, 0) })).toEqual([
        'tea is a drink',
        'about tea',
        'a warm drink',
      ])
      expect(await contents(holder({ user: 'bob' }), 'tea', { vector: vector(1, 0, 0, 0) })).toEqual([])
      expect(await contents(holder(everywhere.owners, 'blue'), 'tea', { vector: vector(1, 0, 0, 0) })).toEqual([])
    })

    test('of another model are not compared, and are made up for', async ({ skip }) => {
      if (!there) skip('this server has no pgvector')
      await keep(everywhere, 'old', 'user', { vector: vector(1, 0, 0, 0) })
      const newer = { model: 'newer', dimensions: 3 }
      expect(await prepareVectors(store, newer, true)).toBe(true)
      const query = { vector: { ...newer, values: [1, 0, 0] } }
      expect(await contents(everywhere, 'x', query)).toEqual([])
      const missing = await withoutVector(store, newer, 10)
      expect(missing.map(({ content }) => content)).toEqual(['old'])
      await addVectors(
        store,
        missing.map(({ id }) => ({ id, vector: query.vector })),
      )
      expect(await contents(everywhere, 'x', query)).toEqual(['old'])
      expect(await withoutVector(store, newer, 10)).toEqual([])
    })

    test('of several models and lengths stand side by side, and each is found by its own', async ({ skip }) => {
      if (!there) skip('this server has no pgvector')
      const long = { model: 'red/long', dimensions: 3072 }
      const short = { model: 'red/short', dimensions: 4 }
      expect(await prepareVectors(store, long)).toBe(true)
      const unit = (length: number, at: number) => Array.from({ length }, (_, i) => (i === at ? 1 : 0))
      const [red, blue] = [holder({ instance: '' }), holder({ instance: '' }, 'blue')]
      await keep(red, 'of the platform', 'instance', { vector: vector(1, 0, 0, 0) })
      await keep(red, 'of another of that length', 'instance', { vector: { ...short, values: [1, 0, 0, 0] } })
      await keep(red, 'long', 'instance', { vector: { ...long, values: unit(3072, 7) } })
      await keep(blue, 'long of blue', 'instance', { vector: { ...long, values: unit(3072, 7) } })
      expect(await contents(red, 'x', { vector: vector(1, 0, 0, 0) })).toEqual(['of the platform'])
      expect(await contents(red, 'x', { vector: { ...short, values: [1, 0, 0, 0] } })).toEqual([
        'of another of that length',
      ])
      expect(await contents(red, 'x', { vector: { ...long, values: unit(3072, 7) } })).toEqual(['long'])
      expect(await contents(blue, 'x', { vector: { ...long, values: unit(3072, 7) } })).toEqual(['long of blue'])
    })

    test('have an index by length, of the usual ones and of no other', async ({ skip }) => {
      if (!there) skip('this server has no pgvector')
      for (const dimensions of [1536, 3072, 1537, 4, 1536])
        expect(await prepareVectors(store, { dimensions })).toBe(true)
      const { rows } = await sql<{ indexname: string }>`select indexname from pg_indexes
        where tablename = 'memories' and indexname like 'memories_meaning_%' order by indexname`.execute(store.db)
      expect(rows.map(({ indexname }) => indexname)).toEqual([
        ...['memories_meaning_1536', 'memories_meaning_3072', 'memories_meaning_4'],
      ])
      await sql`create index memories_by_meaning_old on memories (id)`.execute(store.db)
      await prepareVectors(store, space, true)
      const old = await sql`select 1 from pg_indexes where indexname = 'memories_by_meaning_old'`.execute(store.db)
      expect(old.rows).toEqual([])
    })

    test('that a run brings go to what it may see, and to nothing of anybody else', async ({ skip }) => {
      if (!there) skip('this server has no pgvector')
      const own = { model: 'red/own', dimensions: 4 }
      const ann = { ...holder({ user: 'ann' }), space: own }
      const mine = await keep(ann, 'mine')
      const others = [
        await keep(holder({ user: 'bob' }), 'of bob'),
        await keep(holder({ user: 'ann' }, 'blue'), 'of blue'),
        await keep(holder({ user: 'ann' }, 'red', 'bot2'), 'of another bot'),
        await keep(everywhere, 'of all', 'instance'),
      ]
      await keep(ann, 'gone', 'user', { expiresAt: later(500) })
      const values = [1, 0, 0, 0]
      expect(await unembedded(store, ann, 10, later(600))).toEqual([{ id: mine.id, content: 'mine' }])
      const made = [mine, ...others].map(({ id }) => ({ id, vector: { ...own, values } }))
      await addVectors(store, made, ann)
      const got = await sql<{ content: string }>`select content from memories where embedding is not null`.execute(
        store.db,
      )
      expect(got.rows).toEqual([{ content: 'mine' }])
      expect(await unembedded(store, ann, 10, later(600))).toEqual([])
      expect(await contents(ann, 'x', { vector: { ...own, values } })).toEqual(['mine'])
    })

    test('are made by whom the latest run was told, and the platform leaves alone what is not its own', async ({
      skip,
    }) => {
      if (!there) skip('this server has no pgvector')
      const own = { model: 'red/own', dimensions: 4 }
      const run = (seconds: number, model?: typeof own) => ({
        ...{ ...holder({ instance: '' }), since: later(seconds), over: false, space: model },
      })
      await keep(everywhere, 'tea', 'instance')
      await keep(holder({ instance: '' }, 'blue'), 'of blue', 'instance')
      const missing = async () => (await withoutVector(store, space, 10)).map(({ content }) => content).sort()
      expect(await chooseSpace(store, run(1))).toBe(true)
      expect(await store.db.selectFrom('memory_spaces').selectAll().execute()).toEqual([])
      expect(await missing()).toEqual(['of blue', 'tea'])
      expect(await chooseSpace(store, run(2, own))).toBe(true)
      expect(await chooseSpace(store, run(1))).toBe(false)
      expect(await chooseSpace(store, run(1, { ...own, dimensions: 5 }))).toBe(false)
      expect(await hasOwnSpace(store, { namespace: 'red', instance: 'bot' })).toBe(true)
      expect(await hasOwnSpace(store, { namespace: 'blue', instance: 'bot' })).toBe(false)
      expect(await missing()).toEqual(['of blue'])
      expect(await chooseSpace(store, run(3))).toBe(true)
      expect(await chooseSpace(store, run(2, own))).toBe(false)
      expect(await hasOwnSpace(store, { namespace: 'red', instance: 'bot' })).toBe(false)
      expect(await missing()).toEqual(['of blue', 'tea'])
    })

    test('are searched by their index where there are many, and exactly where the holder has few', async ({ skip }) => {
      if (!there) skip('this server has no pgvector')
      await sql`insert into memories (id, namespace, instance, scope, owner, content, run, attempt, call, created_at,
          embedding, embedding_model, embedding_dimensions)
        select i::text, 'red', 'bot', 'instance', '', 'number ' || i, 'r', 1, 'c', now(),
          array[random(), random(), random(), random()]::real[]::vector, ${space.model}, ${space.dimensions}::int
        from generate_series(1, 3000) i`.execute(store.db)
      await keep(holder({ user: 'ann' }, 'blue'), 'few', 'user', { vector: vector(0, 0, 0, 1) })
      await sql`analyze memories`.execute(store.db)
      const query = { text: 'zebra', limit: 10, now: later(0), vector: vector(1, 0.5, 0, 0) }
      expect(await explainSearch(store, everywhere, query)).toMatch(/Index Scan using memories_meaning_4 /)
      expect(await find(everywhere, 'zebra', { vector: query.vector })).toHaveLength(5)
      expect(await contents(holder({ user: 'ann' }, 'blue'), 'zebra', { vector: query.vector })).toEqual(['few'])
      expect(await explainSearch(store, everywhere, { text: 'number 17', limit: 10, now: later(0) })).toMatch(
        /memories_by_words|memories_by_owner|Seq Scan/,
      )
    })
  })
})
