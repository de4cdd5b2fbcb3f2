import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate, openStore, type Store } from '#core/store'
import { createLogger } from '#core/telemetry'
import { databases, type TestDatabase } from '../../../test/support/database.ts'
import { type Relay, startRelay } from '../../../test/support/relay.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'

const log = createLogger('test')
log.level = 'silent'
const paths = ['sessions', 'records', 'memories', 'usage?from=2026-01-01&to=2026-01-02', `sessions/${'0'.repeat(32)}`]

let served: Served
let database: TestDatabase
let relay: Relay
let store: Store
let token: string

beforeAll(async () => {
  const last = databases.at(-1)
  if (!last) throw new Error('there is no database')
  ;[served, database] = await Promise.all([startServed({ store: () => store }), last.start()])
  const url = new URL(database.url)
  relay = await startRelay(Number(url.port), url.hostname)
  url.host = `127.0.0.1:${relay.port}`
  store = openStore({ url: url.href, log, answerWithinMs: 3_000 })
  await migrate(store)
  token = await served.account('red', 'red', ['*'])
}, 120_000)
afterAll(async () => {
  relay?.mend()
  await store?.close()
  await relay?.close()
  await Promise.all([served?.close(), database?.close()])
})

async function ask(path: string) {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${served.base}/api/v1/namespaces/red/${path}`, { headers })
  return { status: response.status, ...((await response.json()) as { code?: string }) }
}
const asked = async () => (await Promise.all(paths.map(ask))).map(({ status, code }) => code ?? status)

test.each(['hush', 'cut'] as const)(
  'after a %s of the database whoever asks is told to come again, and then is answered',
  {
    timeout: 120_000,
  },
  async (how) => {
    const well = [200, 200, 200, 200, 'not_found']
    await expect.poll(asked, { timeout: 60_000 }).toEqual(well)
    relay[how]()
    expect(await asked()).toEqual(paths.map(() => 'unavailable'))
    relay.mend()
    await expect.poll(asked, { timeout: 60_000 }).toEqual(well)
  },
)
