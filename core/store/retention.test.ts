import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import {
  expire,
  listRuns,
  listSessions,
  migrate,
  openStore,
  project,
  type RecordEntry,
  rebuild,
  type Store,
} from './index.ts'

const start = Date.parse('2026-03-01T00:00:00Z')
const days = (count: number) => new Date(start + count * 86_400_000)

interface Made {
  run: string
  key?: string
  instance?: string
  policy?: string
  day: number
  /** Without an outcome yet. */
  open?: boolean
}

describe.each(databases)('on $name', ({ start: startDatabase }) => {
  let database: TestDatabase
  let store: Store
  let sequence = 0
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
  })

  async function take({ run, key, instance = 'bot', policy = 'strict', day, open = false }: Made): Promise<void> {
    const entry = (kind: string, body: object): RecordEntry => {
      const place = { stream: 'RUNS', namespace: 'red', instance, run, sequence: ++sequence }
      return { ...place, at: days(day), kind, body }
    }
    const model = { provider: 'demo', name: 'demo' }
    const task = { run, agent: 'default', sessionKey: key, task: `${run}?`, model }
    const over = { phase: 'Succeeded', reason: 'Completed', result: '.', usage: { modelCalls: 1, toolCalls: 0 } }
    const entries = [
      entry('in', { type: 'task', task, effective: { policy: { name: policy } } }),
      entry('journal', { kind: 'called' }),
      entry('in', { type: 'answer' }),
      entry('journal', { kind: 'answered' }),
      ...(open ? [] : [entry('outcome', over)]),
    ]
    await project(store, { stream: 'RUNS', created: 'x', entries, setAside: [], through: sequence })
  }
  const keys = async () => (await listSessions(store, { namespace: 'red', limit: 10 })).map(({ key }) => key).sort()
  const kept = async (run: string) => {
    const rows = await store.db.selectFrom('record').select('kind').where('run', '=', run).orderBy('sequence').execute()
    return rows.map(({ kind }) => kind)
  }

  test('conversations go that long after they were last used, of the instances that the policy binds now', async () => {
    await take({ run: 'a', key: 'old', day: 0 })
    await take({ run: 'b', key: 'used again', day: 0 })
    await take({ run: 'c', key: 'used again', day: 9 })
    await take({ run: 'd', key: 'at work', day: 5, open: true })
    await take({ run: 'e', key: 'of another policy', instance: 'bot2', policy: 'loose', day: 0 })
    await take({ run: 'f', key: 'was of another', instance: 'bot3', policy: 'loose', day: 0 })
    await take({ run: 'g', key: 'is of this', instance: 'bot3', day: 9 })
    const expiry = { namespace: 'red', policy: 'strict', sessionsBefore: days(8) }
    expect(await expire(store, { ...expiry, namespace: 'blue' }, days(10))).toEqual({ sessions: 0, runs: 0 })
    expect(await expire(store, expiry, days(10))).toEqual({ sessions: 2, runs: 0 })
    const left = ['at work', 'is of this', 'of another policy', 'used again']
    expect(await keys()).toEqual(left)
    await rebuild(store)
    expect(await keys()).toEqual(left)
    // No run lasts that long: its end was lost.
    expect(await expire(store, expiry, days(20))).toEqual({ sessions: 1, runs: 0 })
  })

  test('of what runs did all goes but what was said in a conversation', async () => {
    await take({ run: 'a', key: 'chat', day: 0 })
    await take({ run: 'b', day: 0 })
    await take({ run: 'c', key: 'chat', day: 9 })
    await take({ run: 'd', day: 9 })
    await take({ run: 'e', instance: 'bot2', policy: 'loose', day: 0 })
    const expiry = { namespace: 'red', policy: 'strict', recordBefore: days(8) }
    expect(await expire(store, expiry, days(10))).toEqual({ sessions: 0, runs: 2 })
    expect(await expire(store, expiry, days(10))).toEqual({ sessions: 0, runs: 0 })
    expect(await kept('a')).toEqual(['in', 'outcome'])
    expect(await kept('b')).toEqual([])
    for (const run of ['c', 'd', 'e']) expect(await kept(run)).toHaveLength(5)
    const runs = async () => (await listRuns(store, { namespace: 'red', limit: 10 })).runs.map(({ uid }) => uid).sort()
    expect(await runs()).toEqual(['a', 'c', 'd', 'e'])
    const said = async () => await store.db.selectFrom('messages').select('content').orderBy('sequence').execute()
    const before = await said()
    await rebuild(store)
    expect(await runs()).toEqual(['a', 'c', 'd', 'e'])
    expect(await said()).toEqual(before)
    expect(before).toHaveLength(4)
  })
})
