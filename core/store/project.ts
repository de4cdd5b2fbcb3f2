import type { Transaction } from 'kysely'
import { derive } from './derive.ts'
import type { RecordEntry } from './record-entry.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

/** A message that could not be read. */
export interface SetAside {
  sequence: number
  subject: string
  reason: string
  body: Uint8Array
  at: Date
}

/** Some of a stream, in its order. */
export interface Projected {
  stream: string
  /** When the stream was made; another time means another stream, whose sequences begin again. */
  created: string
  entries: readonly RecordEntry[]
  setAside: readonly SetAside[]
  /** The last sequence read. */
  through: number
}

/** The last sequence of that stream that has been taken; 0 where nothing has, or where the stream was made anew. */
export async function readThrough({ db }: Store, stream: string, created: string): Promise<number> {
  const row = await db.selectFrom('cursors').selectAll().where('stream', '=', stream).executeTakeFirst()
  return row?.created === created ? row.sequence : 0
}

/** Takes these entries and moves the cursor, in one transaction. Taking an entry again changes nothing. */
export async function project(
  { db }: Store,
  { stream, created, entries, setAside, through }: Projected,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    for (const entry of entries) if (await keep(tx, entry)) await derive(tx, entry)
    for (const { body, ...one } of setAside) {
      await tx
        .insertInto('set_aside')
        .values({ stream, created, ...one, body: Buffer.from(body) })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    }
    await tx
      .insertInto('cursors')
      .values({ stream, created, sequence: through })
      .onConflict((conflict) => conflict.column('stream').doUpdateSet({ created, sequence: through }))
      .execute()
  })
}

/** Whether the entry is new. */
async function keep(tx: Transaction<Tables>, entry: RecordEntry): Promise<boolean> {
  const { numInsertedOrUpdatedRows: rows = 0n } = await tx
    .insertInto('record')
    .values({ ...entry, body: JSON.stringify(entry.body) })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return rows > 0n
}
