import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import {
  deleteSession,
  forkSession,
  historyOf,
  listRuns,
  listSessions,
  migrate,
  openStore,
  project,
  type RecordEntry,
  readThrough,
  rebuild,
  resetSession,
  type Store,
  showSession,
  type TranscriptPlace,
  transcriptOf,
  usageOf,
} from './index.ts'

const created = '2026-01-01T00:00:00Z'
const start = Date.parse('2026-03-01T23:59:00Z')

interface Said {
  run: string
  key?: string | undefined
  namespace?: string
  instance?: string
  task?: string
  result?: string
  /** Sequence of its first entry; the others follow it. */
  sequence: number
}

/** The record of a whole run: the task, a warning, the outcome. */
function turn({ run, key, namespace = 'red', instance = 'bot', task = 'ask', result, sequence }: Said): RecordEntry[] {
  const entry = (after: number, kind: string, body: object): RecordEntry => {
    const at = new Date(start + (sequence + after) * 1000)
    return { stream: 'RUNS', namespace, instance, run, sequence: sequence + after, at, kind, body }
  }
  const begun = {
    run: `${run}-name`,
    agent: 'default',
    sessionKey: key,
    task,
    model: { provider: 'demo', name: 'demo' },
  }
  const over =
    result === undefined
      ? { phase: 'Failed', reason: 'AgentDied', error: 'died' }
      : { phase: 'Succeeded', reason: 'Completed', result }
  return [
    entry(0, 'in', { type: 'task', task: begun, effective: { policy: { name: 'strict' } } }),
    entry(1, 'journal', { kind: 'noted', message: 'a\0b' }),
    entry(2, 'outcome', { ...over, usage: { modelCalls: 1, toolCalls: 2 } }),
  ]
}

function metered(
  run: string,
  sequence: number,
  namespace = 'red',
  inputTokens: number | null = 10,
  status?: number,
): RecordEntry {
  const at = new Date(start + sequence * 1000)
  const tokens = inputTokens === null ? {} : { inputTokens, outputTokens: 20 }
  const body = { at: at.toISOString(), provider: 'demo', model: 'demo', ...tokens, ...(status && { status }) }
  return { stream: 'USAGE', sequence, namespace, instance: 'bot', run, at, kind: 'usage', body }
}

describe.each(databases)('on $name', ({ start: startDatabase, concurrent }) => {
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
  })

  const take = (entries: RecordEntry[], stream = 'RUNS') =>
    project(store, { stream, created, entries, setAside: [], through: entries.at(-1)?.sequence ?? 0 })
  const red = { namespace: 'red', instance: 'bot' }
  const chatOf = async (namespace: string) => {
    const [session] = await listSessions(store, { namespace, instance: 'bot', limit: 1 })
    return { namespace, id: session?.id ?? 'none' }
  }
  const dump = async () => {
    const tables = ['sessions', 'runs', 'messages', 'usage'] as const
    const rows = await Promise.all(tables.map((table) => sql`select * from ${sql.table(table)}`.execute(store.db)))
    return rows.map((result) => result.rows.map((row) => JSON.stringify(row)).sort())
  }

  test('a database is migrated once, and one of a newer version is refused', async () => {
    expect(await migrate(store)).toEqual([])
    await store.db.insertInto('migrations').values({ name: '9999_later' }).execute()
    await expect(migrate(store)).rejects.toMatchObject({ code: 'unsupported' })
  })

  test('a migration that fails leaves what was', async () => {
    await database.empty()
    const wrong = [
      { name: 'a', statements: 'create table a (x int)' },
      { name: 'b', statements: 'create table a (x int)' },
    ]
    await expect(migrate(store, wrong)).rejects.toMatchObject({ code: 'internal' })
    expect(await migrate(store)).not.toEqual([])
  })

  test.runIf(concurrent)('replicas that start together migrate once', async () => {
    await database.empty()
    const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(store)))
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1)
  })

  test('runs of one session are told what was said before them, in order, and of no other', async () => {
    await take([
      ...turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }),
      ...turn({ run: 'x', key: 'other', task: 'secret', result: 'secret', sequence: 4 }),
      ...turn({ run: 'y', key: 'chat', namespace: 'blue', task: 'blue', result: 'blue', sequence: 7 }),
      ...turn({ run: 'z', key: 'chat', instance: 'bot2', task: 'bot2', result: 'bot2', sequence: 10 }),
      ...turn({ run: 'b', key: 'chat', task: 'two?', sequence: 13 }),
      ...turn({ run: 'c', key: 'chat', task: 'three?', result: 'three.', sequence: 16 }),
      ...turn({ run: 'none', task: 'alone', result: 'alone', sequence: 19 }),
    ])
    const told = (run: string, maxBytes = 1000) => historyOf(store, { ...red, run, maxBytes })
    expect(await told('a')).toEqual({ history: [], cut: false })
    const one = [
      { role: 'user', content: 'one?' },
      { role: 'assistant', content: 'one.' },
    ]
    const two = [
      { role: 'user', content: 'two?' },
      { role: 'assistant', content: '(no answer: Failed, AgentDied)' },
    ]
    expect(await told('b')).toEqual({ history: one, cut: false })
    expect(await told('c')).toEqual({ history: [...one, ...two], cut: false })
    expect(await told('c', 40)).toMatchObject({ history: two, cut: true, older: { messages: one, through: 'b' } })
    expect(await told('none')).toEqual({ history: [], cut: false })
    expect(await historyOf(store, { namespace: 'blue', instance: 'bot', run: 'c', maxBytes: 1000 })).toEqual({
      history: [],
      cut: false,
    })
  })

  test('an entry is taken once, however often it comes and wherever reading was cut', async () => {
    const entries = [
      ...turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }),
      ...turn({ run: 'b', key: 'chat', task: 'two?', result: 'two.', sequence: 4 }),
    ]
    await take(entries.slice(0, 4))
    await take(entries)
    await take(entries)
    await take([metered('a', 1), metered('a', 1)], 'USAGE')
    const [sessions, runs, messages, used] = await dump()
    expect([sessions, runs, messages, used].map((rows) => rows?.length)).toEqual([1, 2, 4, 1])
    expect(await listSessions(store, { namespace: 'red', limit: 10 })).toMatchObject([{ key: 'chat', runs: 2 }])
    expect((await listRuns(store, { namespace: 'red', limit: 10 })).runs).toMatchObject([
      { uid: 'b', phase: 'Succeeded', result: 'two.', modelCalls: 1, toolCalls: 2 },
      { uid: 'a', phase: 'Succeeded' },
    ])
    expect((await listRuns(store, { namespace: 'blue', limit: 10 })).runs).toEqual([])
  })

  test('how far a stream was read is kept with what was read, and a stream made anew begins again', async () => {
    expect(await readThrough(store, 'RUNS', created)).toBe(0)
    await take(turn({ run: 'a', sequence: 1 }))
    expect(await readThrough(store, 'RUNS', created)).toBe(3)
    expect(await readThrough(store, 'RUNS', '2027-01-01T00:00:00Z')).toBe(0)
    const broken = take([...turn({ run: 'b', sequence: 4 }), { ...metered('b', 9), body: { at: 'never' } }])
    await expect(broken).rejects.toThrow()
    expect(await readThrough(store, 'RUNS', created)).toBe(3)
    expect((await listRuns(store, { namespace: 'red', limit: 10 })).runs).toHaveLength(1)
  })

  test('a page of runs ends before it is too long, and tells that there are more', async () => {
    const uids = ['a', 'b', 'c', 'd', 'e']
    const long = (run: string, at: number) =>
      turn({ run, task: 'x'.repeat(400_000), result: 'y', sequence: 1 + 3 * at })
    await take(uids.flatMap(long))
    const pages: string[][] = []
    for (let after: { at: Date; id: string } | undefined, more = true; more; ) {
      const page = await listRuns(store, { namespace: 'red', limit: 4, after })
      pages.push(page.runs.map(({ uid }) => uid))
      const last = page.runs.at(-1)
      after = last && { at: last.startedAt, id: last.uid }
      more = page.more
    }
    expect(pages).toEqual([
      ['e', 'd', 'c'],
      ['b', 'a'],
    ])
    const all = await listRuns(store, { namespace: 'red', limit: 2 })
    expect([all.runs.length, all.more]).toEqual([2, true])
  })

  test('the same rows are made again from the record', async () => {
    await take([metered('a', 1), metered('b', 2), metered('gone', 3)], 'USAGE')
    await take([
      ...turn({ run: 'a', key: 'chat', task: 'one\0?', result: 'one.', sequence: 1 }),
      ...turn({ run: 'b', key: 'chat', task: 'two?', sequence: 4 }),
      ...turn({ run: 'c', task: 'three?', result: 'three.', sequence: 7 }),
    ])
    const before = await dump()
    // Journals make no rows.
    expect(await rebuild(store)).toBe(9)
    expect(await dump()).toEqual(before)
  })

  test('what was deleted stays deleted, of its tenant alone, and its usage stays as numbers', async () => {
    await take([
      ...turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }),
      ...turn({ run: 'b', key: 'chat', namespace: 'blue', task: 'blue?', result: 'blue.', sequence: 4 }),
    ])
    await take([metered('a', 1)], 'USAGE')
    const chat = await chatOf('red')
    const blue = await chatOf('blue')
    expect(await deleteSession(store, { ...chat, namespace: 'blue' }, new Date(start + 60_000))).toBe(false)
    expect(await deleteSession(store, chat, new Date(start + 60_000))).toBe(true)
    const gone = async () => {
      expect(await showSession(store, chat)).toBeUndefined()
      expect((await listRuns(store, { namespace: 'red', limit: 10 })).runs).toEqual([])
      expect((await showSession(store, blue))?.messages).toHaveLength(2)
    }
    await gone()
    const kept = await store.db.selectFrom('record').select('kind').where('run', '=', 'a').execute()
    expect(kept).toEqual([{ kind: 'usage' }])
    await rebuild(store)
    await take(turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }))
    await gone()
    await take(turn({ run: 'c', key: 'chat', task: 'again?', result: 'again.', sequence: 100 }))
    expect((await showSession(store, chat))?.messages).toMatchObject([{ content: 'again?' }, { content: 'again.' }])
    const day = { from: new Date(start - 86_400_000), to: new Date(start + 86_400_000) }
    expect(await usageOf(store, { namespace: 'red', ...day })).toMatchObject([{ inputTokens: 10, calls: 1 }])
  })

  test('a session that is reset is told nothing of before, and keeps its transcript', async () => {
    await take(turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }))
    const chat = await chatOf('red')
    expect(await resetSession(store, { ...chat, namespace: 'blue' }, new Date(start + 4_000))).toBe(false)
    expect(await resetSession(store, chat, new Date(start + 4_000))).toBe(true)
    await take(turn({ run: 'b', key: 'chat', task: 'two?', result: 'two.', sequence: 5 }))
    await take(turn({ run: 'c', key: 'chat', task: 'three?', result: 'three.', sequence: 9 }))
    const { history } = await historyOf(store, { ...red, run: 'c', maxBytes: 1000 })
    expect(history.map(({ content }) => content)).toEqual(['two?', 'two.'])
    expect((await showSession(store, chat))?.messages).toHaveLength(6)
  })

  test('what a run still writes after its conversation was deleted is not kept, nor read again', async () => {
    const [task, note, outcome] = turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 })
    if (!task || !note || !outcome) throw new Error('no turn')
    await take([task, note])
    // Our clock is behind that of the bus, by which the run began.
    expect(await deleteSession(store, await chatOf('red'), new Date(start - 60_000))).toBe(true)
    await take([outcome])
    await take([task, note, outcome])
    expect(await store.db.selectFrom('record').selectAll().execute()).toEqual([])
    expect((await dump()).flat()).toEqual([])
  })

  test('a run that was read only after its conversation was deleted leaves nothing', async () => {
    await take(turn({ run: 'a', key: 'chat', sequence: 1 }))
    await deleteSession(store, await chatOf('red'), new Date(start + 60_000))
    await take(turn({ run: 'late', key: 'chat', task: 'late?', sequence: 10 }))
    expect(await store.db.selectFrom('record').selectAll().execute()).toEqual([])
    expect((await dump()).flat()).toEqual([])
  })

  test('entries of a stream that was made anew are others, come after, and are read again in that order', async () => {
    const first = turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 })
    // The second life begins at 1 again, and by a clock that went back.
    const second = turn({ run: 'b', key: 'chat', task: 'two?', result: 'two.', sequence: 1 }).map((entry) => ({
      ...entry,
      at: new Date(start - 60_000),
    }))
    const anew = (entries: RecordEntry[]) =>
      project(store, { stream: 'RUNS', created: '2026-02-02T00:00:00Z', entries, setAside: [], through: 3 })
    // The outcome of a run that began in the life before, at the sequence that its task had there.
    const late = turn({ run: 'c', key: 'chat', task: 'three?', result: 'three.', sequence: 4 })
    await take([...first, ...late.slice(0, 1)])
    await anew([...second, { ...(late[2] as RecordEntry), sequence: 4 }])
    const texts = async () => (await showSession(store, await chatOf('red')))?.messages.map(({ content }) => content)
    const all = ['one?', 'one.', 'three?', 'two?', 'two.', 'three.']
    expect(await texts()).toEqual(all)
    const before = await dump()
    await rebuild(store)
    expect(await dump()).toEqual(before)
    expect(await readThrough(store, 'RUNS', created)).toBe(4)
    expect((await historyOf(store, { ...red, run: 'b', maxBytes: 1000 })).history).toHaveLength(3)
  })

  test('an entry that the database will not take is set aside, and the others are taken', async () => {
    const [task, , outcome] = turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 })
    if (!task || !outcome) throw new Error('no turn')
    const never = { at: '0000-01-01T00:00:00Z', provider: 'demo', model: 'demo' }
    const many = { ...outcome, body: { ...(outcome.body as object), usage: { modelCalls: 2 ** 40, toolCalls: 0 } } }
    const wrong: RecordEntry = { ...metered('a', 2), stream: 'RUNS', body: never }
    const refused = await project(store, {
      stream: 'RUNS',
      created,
      entries: [task, wrong, many, ...turn({ run: 'b', key: 'chat', task: 'two?', result: 'two.', sequence: 4 })],
      setAside: [],
      through: 6,
    })
    expect(refused.map(({ subject }) => subject)).toEqual([
      'k8sclaw.red.bot.run.a.usage',
      'k8sclaw.red.bot.run.a.outcome',
    ])
    expect(await store.db.selectFrom('set_aside').select('sequence').orderBy('sequence').execute()).toEqual([
      { sequence: 2 },
      { sequence: 3 },
    ])
    expect((await showSession(store, await chatOf('red')))?.messages).toHaveLength(3)
    expect(await readThrough(store, 'RUNS', created)).toBe(6)
    await deleteSession(store, await chatOf('red'), new Date(start + 60_000))
    expect(await store.db.selectFrom('set_aside').selectAll().execute()).toEqual([])
  })

  test('the cursor never moves back', async () => {
    const entries = [...turn({ run: 'a', key: 'chat', sequence: 1 }), ...turn({ run: 'b', key: 'chat', sequence: 4 })]
    await take(entries)
    await take(entries.slice(0, 3))
    expect(await readThrough(store, 'RUNS', created)).toBe(6)
  })

  test('whatever text was said is kept: NUL, half of a pair, as much as the bus takes', async () => {
    for (const [i, text] of ['a\0b', 'half \ud800 of a pair', 'x'.repeat(8 * 1024 * 1024)].entries())
      await take(turn({ run: `r${i}`, key: 'chat', task: text, result: text, sequence: 1 + 3 * i }))
    const chat = await chatOf('red')
    const { messages: first, next } = await transcriptOf(store, chat, { limit: 10 })
    // The last one is a page of its own.
    const { messages: last } = await transcriptOf(store, chat, { limit: 10, after: next })
    const lengths = [...first, ...last].map(({ content }) => content.length)
    expect(lengths).toEqual([3, 3, 16, 16, 8 * 1024 * 1024, 8 * 1024 * 1024])
    expect(await store.db.selectFrom('set_aside').selectAll().execute()).toEqual([])
  })

  test('a fork begins with what was said up to a run, and lives by itself', async () => {
    await take([
      ...turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }),
      ...turn({ run: 'b', key: 'chat', task: 'two?', result: 'two.', sequence: 4 }),
    ])
    const chat = await chatOf('red')
    const at = new Date(start + 5_000)
    expect(await forkSession(store, { ...chat, namespace: 'blue' }, { key: 'fork' }, at)).toBeUndefined()
    await expect(forkSession(store, chat, { key: 'chat' }, at)).rejects.toMatchObject({ code: 'already_exists' })
    await expect(forkSession(store, chat, { key: 'fork', through: 'x' }, at)).rejects.toMatchObject({ code: 'invalid' })
    const id = await forkSession(store, chat, { key: 'fork', through: 'a' }, at)
    const fork = { namespace: 'red', id: id ?? '' }
    const texts = async () => (await showSession(store, fork))?.messages.map(({ content }) => content)
    expect(await texts()).toEqual(['one?', 'one.'])
    await take(turn({ run: 'c', key: 'fork', task: 'other?', result: 'other.', sequence: 7 }))
    const told = async () => (await historyOf(store, { ...red, run: 'c', maxBytes: 1000 })).history
    expect((await told()).map(({ content }) => content)).toEqual(['one?', 'one.'])
    await deleteSession(store, chat, new Date(start + 60_000))
    await rebuild(store)
    expect(await texts()).toEqual(['one?', 'one.', 'other?', 'other.'])
    expect(await told()).toHaveLength(2)
    await resetSession(store, fork, new Date(start + 60_000))
    await take(turn({ run: 'd', key: 'fork', task: 'fresh?', result: 'fresh.', sequence: 100 }))
    expect((await historyOf(store, { ...red, run: 'd', maxBytes: 1000 })).history).toEqual([])
    await deleteSession(store, fork, new Date(start + 200_000))
    await rebuild(store)
    expect(await listSessions(store, { namespace: 'red', limit: 10 })).toEqual([])
  })

  test('a transcript is told in pages, each message once, as many as were asked for and never too many bytes', async () => {
    const long = 'x'.repeat(400_000)
    await take([
      ...turn({ run: 'a', key: 'chat', task: 'one?', result: 'one.', sequence: 1 }),
      ...turn({ run: 'b', key: 'chat', task: 'two?', result: 'two.', sequence: 4 }),
    ])
    const chat = await chatOf('red')
    const id = await forkSession(store, chat, { key: 'fork' }, new Date(start + 60_000))
    await take([
      ...turn({ run: 'c', key: 'fork', task: long, result: long, sequence: 7 }),
      ...turn({ run: 'd', key: 'fork', task: long, result: long, sequence: 10 }),
    ])
    const fork = { namespace: 'red', id: id ?? '' }
    const pages = async (limit: number) => {
      const told: string[][] = []
      for (let after: TranscriptPlace | undefined; told.length < 20; ) {
        const page = await transcriptOf(store, fork, { limit, after })
        told.push(page.messages.map(({ content }) => (content === long ? 'long' : content)))
        if (!page.next) break
        after = page.next
      }
      return told
    }
    expect(await pages(3)).toEqual([
      ['one?', 'one.', 'two?'],
      ['two.', 'long', 'long'],
      ['long', 'long'],
    ])
    expect(await pages(500)).toEqual([['one?', 'one.', 'two?', 'two.', 'long', 'long', 'long'], ['long']])
    expect(await transcriptOf(store, { ...fork, namespace: 'blue' }, { limit: 10 })).toEqual({ messages: [] })
  })

  test('usage is counted by day, agent, policy and model, of one tenant', async () => {
    await take(turn({ run: 'a', sequence: 1 }))
    await take(
      [
        ...[metered('a', 1), metered('a', 2, 'red', 10, 200), metered('a', 61), metered('a', 62, 'red', null)],
        ...[200, 400, 429, 503, 504].map((status, i) => metered('a', 63 + i, 'red', null, status)),
        metered('b', 3, 'blue'),
      ],
      'USAGE',
    )
    const whole = { from: new Date(start - 86_400_000), to: new Date(start + 2 * 86_400_000) }
    const common = { instance: 'bot', agent: 'default', policy: 'strict', provider: 'demo', model: 'demo' }
    expect(await usageOf(store, { namespace: 'red', ...whole })).toEqual([
      { ...common, day: '2026-03-01', calls: 2, inputTokens: 20, outputTokens: 40, failed: 0, unmetered: 0 },
      { ...common, day: '2026-03-02', calls: 7, inputTokens: 10, outputTokens: 20, failed: 3, unmetered: 3 },
    ])
    expect(await usageOf(store, { namespace: 'green', ...whole })).toEqual([])
  })
})
