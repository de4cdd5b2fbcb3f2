import { sql } from 'kysely'
import { derive } from './derive.ts'
import type { Store } from './store.ts'

const batch = 500

/**
 * Makes sessions, runs, messages and usage again from the record, in one transaction: readers see the old rows until the
 * new ones are there. What people deleted stays deleted. Returns how many entries it read.
 */
export async function rebuild({ db }: Store): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    await sql`set local statement_timeout = 0`.execute(tx)
    // New entries wait, so that none is made into rows twice or not at all.
    await sql`lock table record in share row exclusive mode`.execute(tx)
    await sql`delete from messages; delete from usage; delete from runs; delete from sessions`.execute(tx)
    let read = 0
    for (const stream of ['RUNS', 'USAGE']) {
      for (let after = { at: new Date(0), sequence: 0, run: '' }; ; ) {
        const rows = await tx
          .selectFrom('record')
          .selectAll()
          .where('stream', '=', stream)
          .where(sql<boolean>`(at, sequence, run) > (${after.at}, ${after.sequence}, ${after.run})`)
          .orderBy('at')
          .orderBy('sequence')
          .orderBy('run')
          .limit(batch)
          .execute()
        for (const entry of rows) await derive(tx, entry)
        read += rows.length
        const last = rows.at(-1)
        if (!last || rows.length < batch) break
        after = last
      }
    }
    return read
  })
}
