import { type Kysely, sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../test/support/database.ts'
import { type Relay, startRelay } from '../../test/support/relay.ts'
import { openStore, type Store } from './index.ts'
import type { Tables } from './tables.ts'

const log = createLogger('test')
log.level = 'silent'
const patient = { timeout: 60_000, interval: 100 }
const noAnswer = { code: 'unavailable', message: 'the database did not answer' }
const one = async (db: Kysely<Tables>) => (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one

describe.each(databases)('$name', ({ start, concurrent }) => {
  let database: TestDatabase
  let relay: Relay
  let store: Store

  beforeAll(async () => {
    database = await start()
  }, 60_000)
  afterAll(async () => {
    await database?.close()
  })
  beforeEach(async () => {
    const { hostname, port } = new URL(database.url)
    relay = await startRelay(Number(port), hostname)
    const url = new URL(database.url)
    url.host = `127.0.0.1:${relay.port}`
    store = openStore({ url: url.href, log, answerWithinMs: 3_000 })
    await expect.poll(() => one(store.db).catch(() => 0), patient).toBe(1)
  }, 90_000)
  afterEach(async () => {
    relay.mend()
    await store.close()
    await relay.close()
  })

  test('a server that falls silent is given up by who cannot wait, and waited for by who can', async () => {
    const { promise: hushed, resolve: isHushed } = Promise.withResolvers<void>()
    const { promise: begun, resolve: hasBegun } = Promise.withResolvers<void>()
    const waiting = store.patient.connection().execute(async (connection) => {
      await one(connection)
      hasBegun()
      await hushed
      return await one(connection)
    })
    await begun
    await expect.poll(() => one(store.db).catch(() => 0), patient).toBe(1)
    relay.hush()
    isHushed()
    await expect(one(store.db)).rejects.toMatchObject({ code: 'unavailable' })
    relay.mend()
    expect(await waiting).toBe(1)
    await expect.poll(() => one(store.db).catch(() => 0), patient).toBe(1)
  }, 120_000)

  test.each(['hush', 'cut'] as const)(
    'a transaction that meets with a %s ends, and its connection with it',
    async (how) => {
      const before = await backends()
      const transaction = store.db.transaction().execute(async (tx) => {
        await one(tx)
        relay[how]()
        await one(tx)
      })
      await expect(transaction).rejects.toMatchObject(noAnswer)
      relay.mend()
      await expect.poll(() => one(store.db).catch(() => 0), patient).toBe(1)
      // PGlite is one for all.
      if (concurrent) expect(await backends()).not.toEqual(before)
    },
    120_000,
  )

  test('what the server refuses is told as the server tells it, and its connection serves on', async () => {
    await expect(sql`select 1 / 0`.execute(store.db)).rejects.toMatchObject({ code: '22012' })
    const before = await backends()
    await expect(sql`select 1 / 0`.execute(store.db)).rejects.toMatchObject({ code: '22012' })
    expect(await backends()).toEqual(before)
  }, 60_000)

  test.runIf(concurrent)(
    'a question that the server ends, and a connection that it ends, are no fault of who asked',
    async () => {
      const slow = store.patient.transaction().execute(async (tx) => {
        await sql`set local statement_timeout = 1`.execute(tx)
        await sql`select pg_sleep(60)`.execute(tx)
      })
      await expect(slow).rejects.toMatchObject({ ...noAnswer, cause: { code: '57014' } })
      await expect(sql`select pg_terminate_backend(pg_backend_pid())`.execute(store.db)).rejects.toMatchObject(noAnswer)
      await expect.poll(() => one(store.db).catch(() => 0), patient).toBe(1)
    },
    120_000,
  )

  async function backends(): Promise<number[]> {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(store.patient)
    return rows.map(({ pid }) => pid)
  }
})
