import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import {
  expire,
  historyOf,
  listSessions,
  migrate,
  openStore,
  project,
  type RecordEntry,
  rebuild,
  recordEntry,
  type Store,
  transcriptOf,
} from './index.ts'

const start = Date.parse('2026-03-01T12:00:00Z')
const entryOf = (run: string, sequence: number, kind: string, body: object, instance = 'bot'): RecordEntry =>
  recordEntry('RUNS', {
    ...{ subject: `k8sclaw.red.${instance}.run.${run}.${kind}`, sequence, at: new Date(start + sequence * 1000) },
    value: () => body,
  } as never)
const task = (run: string, sequence: number, text: string, sessionKey?: string) => {
  const model = { provider: 'demo', name: 'demo' }
  const begun = { run: `${run}-name`, agent: 'default', sessionKey, task: text, model }
  return entryOf(run, sequence, 'in', { type: 'task', task: begun, effective: { policy: { name: 'strict' } } })
}
const outcome = (run: string, sequence: number, result: string) =>
  entryOf(run, sequence, 'outcome', {
    ...{ phase: 'Succeeded', reason: 'Completed', result },
    usage: { modelCalls: 1, toolCalls: 0 },
  })
const said = (run: string, sequence: number, number: number, text: string) =>
  entryOf(run, sequence, 'in', { type: 'message', number, text, from: 'chat/U1' })
const taken = (run: string, sequence: number, number: number, text: string, ok = true, instance?: string) => {
  const answer = ok ? { ok, output: { number, type: 'message', text, from: 'chat/U1' } } : { ok, error: {} }
  const body = { kind: 'answered', callId: `followup-${number}`, tool: 'take_followup', answer }
  return entryOf(run, sequence, 'journal', body, instance)
}

describe.each(databases)('on $name, what is said to a run while it goes on', ({ start: startDatabase }) => {
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
    project(store, {
      ...{ stream: 'RUNS', created: '2026-01-01T00:00:00Z', entries, setAside: [] },
      through: entries.at(-1)?.sequence ?? 0,
    })
  const transcript = async () => {
    const [session] = await listSessions(store, { namespace: 'red', limit: 1 })
    const { messages } = await transcriptOf(store, { namespace: 'red', id: session?.id ?? '' }, { limit: 50 })
    return messages.map(({ run, role, content }) => `${run} ${role}: ${content}`)
  }
  beforeEach(async () => {
    await database.empty()
    await migrate(store)
    await take([
      task('a', 1, 'go', 'chat'),
      said('a', 2, 1, 'faster'),
      said('a', 3, 2, 'too late'),
      taken('a', 4, 1, 'faster'),
      taken('a', 5, 9, 'not there', false),
      // A subject that is not that of the run's own instance.
      taken('a', 6, 1, 'of another instance', true, 'other'),
      outcome('a', 7, 'done'),
      task('b', 8, 'too late', 'chat'),
      task('alone', 9, 'no conversation'),
      taken('alone', 10, 1, 'in none'),
    ])
  })
  const all = ['a user: go', 'a user: faster', 'a assistant: done', 'b user: too late']

  test('stands in the conversation where the run took it, and is told to the runs after it', async () => {
    expect(await transcript()).toEqual(all)
    const { history } = await historyOf(store, { namespace: 'red', instance: 'bot', run: 'b', maxBytes: 1000 })
    expect(history.map(({ content }) => content)).toEqual(['go', 'faster', 'done'])
    // Of itself a run is told nothing, also where it asks again.
    const again = await historyOf(store, { namespace: 'red', instance: 'bot', run: 'a', maxBytes: 1000 })
    expect(again.history).toEqual([])
  })

  test('is made again from the record, the same, also when the rest of it has expired', async () => {
    await rebuild(store)
    expect(await transcript()).toEqual(all)
    const recordBefore = new Date(start + 3_600_000)
    await expire(store, { namespace: 'red', policy: 'strict', recordBefore }, recordBefore)
    await rebuild(store)
    expect(await transcript()).toEqual(all)
  })
})
