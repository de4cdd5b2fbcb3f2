import { sql, type Transaction } from 'kysely'
import type { Tables } from './tables.ts'

/**
 * Removes the record of these runs and what was set aside of it, and remembers that it did: a run that is still at work,
 * and a record that is read again, leave nothing more behind. What they used stays, as numbers.
 */
export async function forget(tx: Transaction<Tables>, runs: readonly string[], now: Date): Promise<void> {
  if (runs.length === 0) return
  await tx
    .insertInto('forgotten')
    .values(runs.map((run) => ({ run, at: now })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await tx.deleteFrom('record').where('run', 'in', runs).where('kind', '!=', 'usage').execute()
  await tx.deleteFrom('set_aside').where(sql<string>`split_part(subject, '.', 5)`, 'in', runs).execute()
}
