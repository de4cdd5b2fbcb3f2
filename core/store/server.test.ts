import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { postgresPrograms, startPostgres } from '../../test/support/database.ts'
import { freePort } from '../../test/support/ports.ts'
import { debianPostgres } from '../../test/support/postgres-programs.ts'
import { testCertificate } from '../../test/support/tls.ts'
import {
  alone,
  deleteSession,
  listSessions,
  migrate,
  openStore,
  project,
  type RecordEntry,
  readThrough,
  type Store,
  showSession,
} from './index.ts'

const log = createLogger('test')
log.level = 'silent'
const programs = postgresPrograms()

test('a database that is away is told as what does not answer, with the reason as its cause', async () => {
  const store = openStore({ url: `postgres://nobody@127.0.0.1:${await freePort()}/none`, log })
  await expect(store.db.selectNoFrom((one) => one.lit(1).as('one')).execute()).rejects.toMatchObject({
    code: 'unavailable',
    message: 'the database does not answer',
    cause: { code: 'ECONNREFUSED' },
  })
  await store.close()
})

describe.skipIf(!programs)('a PostgreSQL server', () => {
  const start = () => startPostgres(programs ?? '')

  test('is believed by a certificate of the authority that the URL names, and by no other', async ({ skip }) => {
    // The one with pgvector was built without TLS.
    const secure = debianPostgres() ?? skip('there is no PostgreSQL of Debian')
    const [tls, other] = await Promise.all([testCertificate(), testCertificate()])
    const database = await startPostgres(secure, tls)
    const refused = (why: RegExp) => ({ code: 'unavailable', cause: { message: expect.stringMatching(why) } })
    const opened = async (url: string) => {
      const store = openStore({ url, log })
      try {
        return await migrate(store)
      } finally {
        await store.close()
      }
    }
    try {
      expect(await opened(database.url)).not.toEqual([])
      await expect(opened(database.url.replace(tls.caFile, other.caFile))).rejects.toMatchObject(
        refused(/certificate|self-signed/),
      )
      await expect(opened(database.url.replace(/\?.*/, ''))).rejects.toMatchObject(refused(/no encryption/))
    } finally {
      await database.close()
      tls.close()
      other.close()
    }
  })

  test('may end under a lease and under a transaction: both are told, and nothing else happens', async () => {
    const database = await start()
    const store = openStore({ url: database.url, log })
    const { signal } = new AbortController()
    const began = Promise.withResolvers<void>()
    const held = alone(store, 'test', signal, async (lease) => {
      began.resolve()
      await new Promise((_, reject) => lease.addEventListener('abort', () => reject(lease.reason), { once: true }))
    })
    await began.promise
    const inTransaction = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<void>()
    const transaction = store.db.transaction().execute(async (tx) => {
      await tx.selectNoFrom((one) => one.lit(1).as('one')).execute()
      inTransaction.resolve()
      await gone.promise
      await tx.selectNoFrom((one) => one.lit(1).as('one')).execute()
    })
    await inTransaction.promise
    await database.close()
    gone.resolve()
    await expect(transaction).rejects.toThrow()
    await expect(held).rejects.toThrow()
    await store.close()
  })

  test('is backed up while it is written to, and restored as docs/sessions.md says', async () => {
    const database = await start()
    const store = openStore({ url: database.url, log })
    const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-backup-'))
    const dump = join(folder, 'k8sclaw.dump')
    const run = (program: string, ...args: string[]) => promisify(execFile)(join(programs ?? '', program), args)
    const texts = async () => {
      const [session] = await listSessions(store, { namespace: 'red', limit: 1 })
      return session && (await showSession(store, session))?.messages.map(({ content }) => content)
    }
    try {
      await migrate(store)
      await take(store, 1)
      await run('pg_dump', '--format=custom', `--file=${dump}`, database.url)
      await take(store, 2)
      const [session] = await listSessions(store, { namespace: 'red', limit: 1 })
      if (session) await deleteSession(store, session, new Date())
      expect(await texts()).toBeUndefined()
      const options = ['--clean', '--if-exists', '--no-owner', '--single-transaction']
      await run('pg_restore', ...options, `--dbname=${database.url}`, dump)
      expect(await texts()).toEqual(['task 1'])
      expect(await readThrough(store, 'RUNS', 'x')).toBe(1)
      expect(await migrate(store)).toEqual([])
      // What the bus still has is read again from there.
      await take(store, 2)
      expect(await texts()).toEqual(['task 1', 'task 2'])
    } finally {
      await store.close()
      await database.close()
      await rm(folder, { recursive: true })
    }
  })
})

async function take(store: Store, sequence: number): Promise<void> {
  const run = `run-${sequence}`
  const model = { provider: 'demo', name: 'demo' }
  const task = { run, agent: 'default', sessionKey: 'chat', task: `task ${sequence}`, model }
  const entry: RecordEntry = {
    ...{ stream: 'RUNS', namespace: 'red', instance: 'bot', run, sequence, kind: 'in', at: new Date() },
    body: { type: 'task', task, effective: { policy: { name: 'p' } } },
  }
  await project(store, { stream: 'RUNS', created: 'x', entries: [entry], setAside: [], through: sequence })
}
