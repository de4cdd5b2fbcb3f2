import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import {
  historyOf,
  listMemories,
  listRuns,
  listSessions,
  migrate,
  openStore,
  prepareVectors,
  project,
  type RecordEntry,
  readThrough,
  rebuild,
  type Store,
  searchMemories,
  showSession,
  storeMemory,
  usageOf,
  withoutVector,
} from './index.ts'
import { migrations } from './migrations.generated.ts'

/** Rows as the version of that migration wrote them, where it added tables of its own. */
function rowsOf(name: string): string | undefined {
  const file = join(import.meta.dirname, 'fixtures', `${name}.sql`)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

const created = '2026-01-01T00:00:00Z'

describe.each(databases)('on $name, a database with data', ({ start }) => {
  let database: TestDatabase
  let store: Store
  beforeAll(async () => {
    database = await start()
    store = openStore({ url: database.url, log: createLogger('test') })
  }, 120_000)
  afterAll(async () => {
    await store?.close()
    await database?.close()
  })

  test.each(migrations.map(({ name }, i) => [name, i + 1] as const))(
    'of the version of %s is brought to this one',
    async (_, known) => {
      await database.empty()
      for (let version = 1; version <= known; version++) {
        await migrate(store, migrations.slice(0, version))
        const rows = rowsOf(migrations[version - 1]?.name ?? '')
        if (rows) await sql.raw(rows).execute(store.db)
      }
      await migrate(store)
      const at = (migration: string) => migrations.findIndex(({ name }) => name === migration) + 1
      const marked = known >= at('0002_session_marks')
      const summarised = known >= at('0040_summaries')
      await holds()
      expect(await rebuild(store)).toBe(summarised ? 7 : 6)
      await holds()
      await goesOn(marked, summarised)
      await remembers(known >= at('0010_memories'), known >= at('0050_memory_care'))
    },
  )

  test('that has vectors of before their lengths were kept finds by them', async ({ skip }) => {
    await database.empty()
    await migrate(
      store,
      migrations.slice(
        0,
        migrations.findIndex(({ name }) => name === '0060_memory_spaces'),
      ),
    )
    const { rows } = await sql`select from pg_available_extensions where name = 'vector'`.execute(store.db)
    if (rows.length === 0) skip('this server has no pgvector')
    // As the version of then did it.
    await sql`create extension if not exists vector`.execute(store.db)
    await sql`alter table memories add column embedding vector`.execute(store.db)
    await sql`create index memories_by_meaning_0123456789abcdef on memories
      using hnsw ((embedding::vector(3)) vector_cosine_ops) where embedding_model = 'm'`.execute(store.db)
    await sql`insert into memories (id, namespace, instance, scope, owner, content, run, attempt, call, created_at,
        embedding, embedding_model)
      values ('1', 'red', 'bot', 'instance', '', 'tea', 'r', 1, 'c', ${created}, '[1,0,0]', 'm'),
        ('2', 'red', 'bot', 'instance', '', 'coffee', 'r', 1, 'c', ${created}, null, null)`.execute(store.db)
    await migrate(store)
    const space = { model: 'm', dimensions: 3 }
    expect(await prepareVectors(store, space, true)).toBe(true)
    const holder = { namespace: 'red', instance: 'bot', owners: { instance: '' } }
    const query = { text: 'x', vector: { ...space, values: [1, 0, 0] }, limit: 5, now: new Date(created) }
    expect((await searchMemories(store, holder, query)).map(({ content }) => content)).toEqual(['tea'])
    expect((await withoutVector(store, space, 5)).map(({ content }) => content)).toEqual(['coffee'])
  })

  async function holds(): Promise<void> {
    expect(await readThrough(store, 'RUNS', created)).toBe(6)
    const [session, ...others] = await listSessions(store, { namespace: 'red', limit: 10 })
    expect(others).toEqual([])
    expect(session).toMatchObject({ key: 'chat', runs: 2 })
    const { messages } = (session && (await showSession(store, session))) ?? {}
    expect(messages?.map(({ content }) => content)).toEqual(['one?', 'one.', 'two?', '(no answer: Failed, AgentDied)'])
    expect((await listRuns(store, { namespace: 'red', limit: 10 })).runs).toMatchObject([
      { uid: 'c', phase: 'Running' },
      { uid: 'b', phase: 'Failed', error: 'died' },
      { uid: 'a', phase: 'Succeeded', result: 'one.', toolCalls: 2 },
    ])
    const day = { from: new Date('2026-01-01'), to: new Date('2026-01-02') }
    expect(await usageOf(store, { namespace: 'red', ...day })).toMatchObject([
      { agent: 'default', policy: 'strict', calls: 1, inputTokens: 10, outputTokens: 20 },
    ])
    expect(await store.db.selectFrom('set_aside').select('sequence').execute()).toEqual([{ sequence: 7 }])
  }

  /** What agents stored in that version is found, and what was deleted does not come back. */
  async function remembers(stored: boolean, deleted: boolean): Promise<void> {
    const now = new Date('2026-01-02')
    const kept = await listMemories(store, { namespace: 'red', limit: 10, now })
    expect(kept.map(({ content }) => content)).toEqual(stored ? ['Fridays are for deployments', 'ann likes tea'] : [])
    const holder = { namespace: 'red', instance: 'bot', owners: { user: 'ann', instance: '' } }
    const found = await searchMemories(store, holder, { text: 'when do we deploy?', limit: 5, now })
    expect(found.map(({ run, call }) => [run, call])).toEqual(stored ? [['b', 'c2']] : [])
    const again = storeMemory(store, holder, {
      ...{ scope: 'user', content: 'ann likes coffee', run: 'a', attempt: 1, call: 'c3' },
      ...{ at: new Date('2026-01-01T00:00:03Z'), expiresAt: undefined },
    }).then(({ known }) => known)
    await (deleted ? expect(again).rejects.toMatchObject({ code: 'gone' }) : expect(again).resolves.toBe(false))
  }

  /** The next turn comes after, and what people decided in the version before still holds. */
  async function goesOn(marked: boolean, summarised: boolean): Promise<void> {
    const model = { provider: 'demo', name: 'demo' }
    const entry = (run: string, sequence: number, sessionKey: string): RecordEntry => ({
      ...{ stream: 'RUNS', namespace: 'red', instance: 'bot', run, sequence, kind: 'in' },
      at: new Date(Date.parse(created) + sequence * 1000),
      body: {
        type: 'task',
        task: { run, agent: 'default', sessionKey, task: 'next?', model },
        effective: { policy: { name: 'strict' } },
      },
    })
    const entries = [entry('next', 8, 'chat'), entry('late', 9, 'gone')]
    await project(store, { stream: 'RUNS', created, entries, setAside: [], through: 9 })
    const asked = { namespace: 'red', instance: 'bot', run: 'next', maxBytes: 1000 }
    const { history, summary } = await historyOf(store, asked)
    expect(summary?.content).toBe(summarised ? 'One was said.' : undefined)
    expect(history.map(({ content }) => content)).toEqual([
      ...(marked ? [] : ['one?', 'one.']),
      'two?',
      '(no answer: Failed, AgentDied)',
    ])
    const keys = (await listSessions(store, { namespace: 'red', limit: 10 })).map(({ key }) => key)
    expect(keys.includes('gone')).toBe(!marked)
  }
})
