import fc from 'fast-check'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import {
  deleteSession,
  forkSession,
  listSessions,
  migrate,
  openStore,
  project,
  type RecordEntry,
  rebuild,
  resetSession,
  type Store,
} from './index.ts'

const start = Date.parse('2026-03-01T00:00:00Z')
const key = fc.constantFrom('a', 'b', 'c')
const deed = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('run' as const), key: fc.option(key), isOver: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fork' as const), key, to: key }) },
)
type Deed = typeof deed extends fc.Arbitrary<infer T> ? T : never

describe.each(databases)('on $name', ({ start: startDatabase }) => {
  let database: TestDatabase
  let store: Store
  beforeAll(async () => {
    database = await startDatabase()
    store = openStore({ url: database.url, log: createLogger('test') })
    await migrate(store)
  }, 120_000)
  afterAll(async () => {
    await store?.close()
    await database?.close()
  })

  let sequence = 0
  let runs = 0
  const now = () => new Date(start + sequence * 1000)

  async function take(stream: 'RUNS' | 'USAGE', namespace: string, run: string, kind: string, body: object) {
    sequence++
    const entry: RecordEntry = { stream, namespace, instance: 'bot', run, sequence, at: now(), kind, body }
    await project(store, { stream, created: 'x', entries: [entry], setAside: [], through: sequence })
  }
  const conclude = (namespace: string, run: string) =>
    take('RUNS', namespace, run, 'outcome', {
      ...{ phase: 'Succeeded', reason: 'Completed', result: `${run}.`, usage: { modelCalls: 1, toolCalls: 0 } },
    })

  async function perform(namespace: string, open: string[], one: Deed): Promise<void> {
    if (one.do === 'run') {
      const run = `run-${++runs}`
      const model = { provider: 'demo', name: 'demo' }
      const task = { run, agent: 'default', ...(one.key !== null && { sessionKey: one.key }), task: `${run}?`, model }
      await take('RUNS', namespace, run, 'in', { type: 'task', task, effective: { policy: { name: 'p' } } })
      await take('RUNS', namespace, run, 'journal', { kind: 'noted', message: 'x' })
      const used = { at: now().toISOString(), provider: 'demo', model: 'demo', inputTokens: 1, outputTokens: 2 }
      await take('USAGE', namespace, run, 'usage', used)
      if (one.isOver) await conclude(namespace, run)
      else open.push(run)
      return
    }
    if (one.do === 'end') {
      const run = open.shift()
      if (run !== undefined) await conclude(namespace, run)
      return
    }
    const sessions = await listSessions(store, { namespace, limit: 10 })
    const session = sessions.find((candidate) => candidate.key === one.key)
    if (!session) return
    if (one.do === 'reset') await resetSession(store, session, now())
    else if (one.do === 'delete') await deleteSession(store, session, now())
    else if (!sessions.some((candidate) => candidate.key === one.to))
      await forkSession(store, session, { key: one.to }, now())
  }

  /** Every row of every table but the memories', as text. */
  async function dump(): Promise<Record<string, string[]>> {
    const { rows } = await sql<{ name: string }>`
      select table_name as name from information_schema.tables
      where table_schema = 'public' and table_name not like 'memor%' order by 1`.execute(store.db)
    const tables: Record<string, string[]> = {}
    for (const { name } of rows) {
      const read = await sql<{ row: string }>`select t::text as row from ${sql.table(name)} t`.execute(store.db)
      tables[name] = read.rows.map(({ row }) => row).sort()
    }
    return tables
  }

  test('whatever was done before, every table is as it was when the rows are made again', async () => {
    let tenants = 0
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { minLength: 4, maxLength: 12 }), async (deeds) => {
        const namespace = `tenant-${++tenants}`
        const open: string[] = []
        for (const one of deeds) await perform(namespace, open, one)
        const before = await dump()
        expect(Object.keys(before)).toEqual(expect.arrayContaining(['messages', 'record', 'runs', 'sessions', 'usage']))
        await rebuild(store)
        expect(await dump()).toEqual(before)
      }),
      { numRuns: 10 },
    )
  }, 300_000)
})
