import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import {
  deleteSession,
  expire,
  historyOf,
  listSessions,
  migrate,
  openStore,
  project,
  type RecordEntry,
  rebuild,
  recordEntry,
  resetSession,
  type Store,
} from './index.ts'

const created = '2026-01-01T00:00:00Z'
const start = Date.parse('2026-03-01T12:00:00Z')
const red = { namespace: 'red', instance: 'bot' }
const maxBytes = 100

const entryOf = (run: string, sequence: number, kind: string, body: object, namespace = 'red'): RecordEntry =>
  recordEntry('RUNS', {
    ...{ subject: `k8sclaw.${namespace}.bot.run.${run}.${kind}`, sequence, at: new Date(start + sequence * 1000) },
    value: () => body,
  } as never)

const task = (run: string, sequence: number, key: string, text: string, namespace?: string) => {
  const model = { provider: 'demo', name: 'demo' }
  const begun = { run: `${run}-name`, agent: 'default', sessionKey: key, task: text, model }
  return entryOf(
    run,
    sequence,
    'in',
    { type: 'task', task: begun, effective: { policy: { name: 'strict' } } },
    namespace,
  )
}
const outcome = (run: string, sequence: number, result: string, namespace?: string) => {
  const usage = { modelCalls: 1, toolCalls: 0 }
  return entryOf(run, sequence, 'outcome', { phase: 'Succeeded', reason: 'Completed', result, usage }, namespace)
}
const noted = (run: string, sequence: number) => entryOf(run, sequence, 'journal', { kind: 'noted', message: 'x' })
const summarised = (run: string, sequence: number, through: string, text: string, namespace?: string) => {
  const output = { text, through, messages: 2, partial: false }
  const answer = { ok: true, output }
  return entryOf(run, sequence, 'journal', { kind: 'answered', callId: 'bridge:summary', answer }, namespace)
}

describe.each(databases)('on $name, a summary that a run has made', ({ start: startDatabase }) => {
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
  const take = (entries: RecordEntry[]) =>
    project(store, { stream: 'RUNS', created, entries, setAside: [], through: entries.at(-1)?.sequence ?? 0 })
  const told = (run: string) => historyOf(store, { ...red, run, maxBytes })
  const long = 'x'.repeat(60)
  const made = { content: 'a was said', run: 'b', model: 'demo/demo', through: 'a', partial: false }
  const rows = () => store.db.selectFrom('session_summaries').selectAll().orderBy('sequence').execute()
  const chat = async () => {
    const [session] = await listSessions(store, { namespace: 'red', limit: 1 })
    return { namespace: 'red', id: session?.id ?? 'none' }
  }
  /** Two turns, and the second run had the first summarised; then a third that asks. */
  beforeEach(async () => {
    await database.empty()
    await migrate(store)
    await take([
      task('a', 1, 'chat', long),
      outcome('a', 2, long),
      task('b', 3, 'chat', 'two?'),
      noted('b', 4),
      summarised('b', 5, 'a', 'a was said'),
      outcome('b', 6, 'two.'),
      task('c', 7, 'chat', 'three?'),
    ])
  })

  test('is told instead of what it is of, to the runs after it, and not asked for again', async () => {
    const two = [
      { role: 'user', content: 'two?' },
      { role: 'assistant', content: 'two.' },
    ]
    expect(await told('c')).toEqual({ history: two, cut: true, summary: made })
    // The one that made it is told what it was told then.
    expect(await told('b')).toMatchObject({ history: [], cut: true, older: { through: 'a', keep: 0 } })
    expect((await told('b')).summary).toBeUndefined()
  })

  test('becomes part of the next one', async () => {
    await take([outcome('c', 8, long), task('d', 9, 'chat', long), outcome('d', 10, long), task('e', 11, 'chat', 'e?')])
    expect(await told('e')).toMatchObject({ history: [], summary: made, older: { through: 'd', keep: 0 } })
    await take([summarised('e', 12, 'd', 'a to d'), outcome('e', 13, 'e.'), task('f', 14, 'chat', 'f?')])
    const { history, summary } = await told('f')
    expect([summary?.content, history.map(({ content }) => content)]).toEqual(['a to d', ['e?', 'e.']])
  })

  test('is made again from the record, the same, and lasts when the rest of a record has expired', async () => {
    const before = [await rows(), await told('c')]
    await rebuild(store)
    expect([await rows(), await told('c')]).toEqual(before)
    const recordBefore = new Date(start + 3_600_000)
    expect(await expire(store, { namespace: 'red', policy: 'strict', recordBefore }, recordBefore)).toMatchObject({
      runs: 1,
    })
    await rebuild(store)
    expect([await rows(), await told('c')]).toEqual(before)
    const kinds = await store.db.selectFrom('record').select('kind').where('run', '=', 'b').execute()
    expect(kinds.map(({ kind }) => kind).sort()).toEqual(['in', 'outcome', 'summary'])
  })

  test('goes with its conversation, and does not come back', async () => {
    expect(await deleteSession(store, await chat(), new Date(start + 60_000))).toBe(true)
    expect(await rows()).toEqual([])
    await take([summarised('b', 5, 'a', 'a was said'), summarised('c', 15, 'b', 'late')])
    await rebuild(store)
    expect(await rows()).toEqual([])
    expect(await store.db.selectFrom('record').selectAll().execute()).toEqual([])
  })

  test('is told to nobody after a reset', async () => {
    await resetSession(store, await chat(), new Date(start + 8_000))
    await take([outcome('c', 8, 'three.'), task('d', 20, 'chat', 'four?')])
    expect(await told('d')).toEqual({ history: [], cut: false })
  })

  test('is of its own conversation alone, whatever it says', async () => {
    await take([
      task('z', 20, 'chat', 'other', 'blue'),
      summarised('z', 21, 'b', 'of another tenant', 'blue'),
      // A run of no tenant of its own: the subject says another than the run's.
      summarised('c', 22, 'b', 'under another subject', 'blue'),
      outcome('c', 23, 'three.'),
      task('d', 24, 'chat', 'four?'),
    ])
    expect((await told('d')).summary).toEqual(made)
    expect((await rows()).map(({ namespace, content }) => [namespace, content])).toEqual([
      ['red', 'a was said'],
      ['blue', 'of another tenant'],
    ])
  })
})
