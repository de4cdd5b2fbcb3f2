import { describe, expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { postgresPrograms, startPostgres } from '../../test/support/database.ts'
import { testCertificate } from '../../test/support/tls.ts'
import { alone, migrate, openStore } from './index.ts'

const log = createLogger('test')
log.level = 'silent'
const programs = postgresPrograms()

describe.skipIf(!programs)('a PostgreSQL server', () => {
  const start = (tls?: Awaited<ReturnType<typeof testCertificate>>) => startPostgres(programs ?? '', tls)

  test('is believed by a certificate of the authority that the URL names, and by no other', async () => {
    const [tls, other] = await Promise.all([testCertificate(), testCertificate()])
    const database = await start(tls)
    const opened = (url: string) => {
      const store = openStore({ url, log })
      return migrate(store).finally(() => store.close())
    }
    try {
      expect(await opened(database.url)).not.toEqual([])
      await expect(opened(database.url.replace(tls.caFile, other.caFile))).rejects.toThrow(/certificate|self-signed/)
      await expect(opened(database.url.replace(/\?.*/, ''))).rejects.toThrow(/no encryption/)
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
})
