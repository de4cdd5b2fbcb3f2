import { sql } from 'kysely'
import { derive } from './derive.ts'
import { restoreForks } from './forks.ts'
import { holdProjection } from './project.ts'
import type { Store } from './store.ts'

/** Read at once; a task may be several hundred kilobytes. */
const batch = 100

/**
 * Makes sessions, runs, messages and usage again from the record, in one transaction: readers see the old rows until the
 * new ones are there. What people decided (marks, forks) is kept, and what they deleted stays deleted. Returns how many
 * entries it made rows of.
 */
export async function rebuild({ patient: db }: Store): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    await sql`set local statement_timeout = 0`.execute(tx)
    // New entries wait, so that none is made into rows twice or not at all.
    await holdProjection(tx)
    await sql`delete from messages; delete from runs; delete from sessions`.execute(tx)
    // Whose usage it was of a run that was forgotten stands nowhere else any more.
    await sql`delete from usage where not exists (select from forgotten where forgotten.run = usage.run)`.execute(tx)
    await restoreForks(tx)
    let read = 0
    for (const stream of ['RUNS', 'USAGE']) {
      for (let after = { epoch: 0, sequence: 0 }; ; ) {
        const rows = await tx
          .selectFrom('record')
          .selectAll()
          .where('stream', '=', stream)
          // The rest of a journal makes no rows, and is most of what there is.
          .where('kind', '!=', 'journal')
          .where(sql<boolean>`(epoch, sequence) > (${after.epoch}, ${after.sequence})`)
          .orderBy('epoch')
          .orderBy('sequence')
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
