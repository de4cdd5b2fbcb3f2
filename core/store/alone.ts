import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Store } from './store.ts'

const retryMs = 2_000
const beatMs = 5_000

/**
 * Does `work` while no other replica does work of that name, and waits its turn until then. The lease is an advisory
 * lock of the database itself: whoever cannot reach the database holds nothing, and could write nothing either. The
 * signal that `work` is given aborts when `signal` does or the lock is lost.
 */
export async function alone(
  { db }: Store,
  name: string,
  signal: AbortSignal,
  work: (held: AbortSignal) => Promise<void>,
): Promise<void> {
  await db.connection().execute(async (connection) => {
    const key = sql`hashtextextended(${`k8sclaw/${name}`}, 0)`
    const got = async () =>
      (await sql<{ got: boolean }>`select pg_try_advisory_lock(${key}) as got`.execute(connection)).rows[0]?.got ===
      true
    while (!(await got())) await sleep(retryMs, undefined, { signal })
    const over = new AbortController()
    const held = AbortSignal.any([signal, over.signal])
    const lost = (async () => {
      while (!held.aborted) {
        await sleep(beatMs, undefined, { signal: held }).catch(() => {})
        if (!held.aborted) await sql`select 1`.execute(connection)
      }
    })()
    lost.catch((error: unknown) => over.abort(error))
    try {
      await work(held)
    } finally {
      over.abort()
      await lost.catch(() => {})
      await sql`select pg_advisory_unlock(${key})`.execute(connection).catch(() => {})
    }
  })
}
