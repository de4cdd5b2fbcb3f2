import { sql, type Transaction } from 'kysely'
import { errorMessage } from '#core/errors'
import { derive, type PlacedEntry } from './derive.ts'
import type { RecordEntry } from './record-entry.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

/** A message that could not be read, or that the database would not take. */
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
  const row = await db
    .selectFrom('cursors')
    .select('sequence')
    .where('stream', '=', stream)
    .where('created', '=', created)
    .executeTakeFirst()
  return row?.sequence ?? 0
}

/**
 * Takes these entries and moves the cursor, in one transaction. Taking an entry again changes nothing, and the cursor
 * never moves back, so that a writer who lost its lease and does not know it yet does no harm. An entry that the database
 * will not take is set aside with the reason, and holds nothing up. Returns those.
 */
export async function project(store: Store, projected: Projected): Promise<SetAside[]> {
  try {
    await inOne(store, projected, async (tx, entry) => await take(tx, entry))
    return []
  } catch (error) {
    if (!isOfData(error)) throw error
  }
  // Rare, and slower: each entry by itself.
  const refused: SetAside[] = []
  await inOne(store, projected, async (tx, entry) => {
    await sql`savepoint entry`.execute(tx)
    try {
      await take(tx, entry)
      await sql`release savepoint entry`.execute(tx)
    } catch (error) {
      if (!isOfData(error)) throw error
      await sql`rollback to savepoint entry`.execute(tx)
      const aside = refusedEntry(entry, error)
      refused.push(aside)
      await putAside(tx, projected, aside)
    }
  })
  return refused
}

async function inOne(
  { patient: db }: Store,
  projected: Projected,
  each: (tx: Transaction<Tables>, entry: PlacedEntry) => Promise<void>,
): Promise<void> {
  const { stream, created, entries, setAside, through } = projected
  await db.transaction().execute(async (tx) => {
    // First, because it makes a second writer of this stream wait.
    const { epoch } = await tx
      .insertInto('cursors')
      .values({
        ...{ stream, created, sequence: through },
        epoch: sql`(select coalesce(max(epoch), 0) + 1 from cursors where stream = ${stream})`,
      })
      .onConflict((conflict) =>
        conflict.columns(['stream', 'created']).doUpdateSet({ sequence: sql`greatest(cursors.sequence, ${through})` }),
      )
      .returning('epoch')
      .executeTakeFirstOrThrow()
    for (const entry of entries) await each(tx, { ...entry, epoch })
    for (const aside of setAside) await putAside(tx, projected, aside)
  })
}

/** Until the transaction ends nothing is projected: what is decided about a conversation then holds for all of it. */
export async function holdProjection(tx: Transaction<Tables>): Promise<void> {
  await sql`lock table cursors in share row exclusive mode`.execute(tx)
}

async function take(tx: Transaction<Tables>, entry: PlacedEntry): Promise<void> {
  if (await keep(tx, entry)) await derive(tx, entry)
}

/** Whether the entry is new, and of a run that is remembered. */
async function keep(tx: Transaction<Tables>, entry: PlacedEntry): Promise<boolean> {
  if (entry.kind !== 'usage') {
    const gone = await tx.selectFrom('forgotten').select('run').where('run', '=', entry.run).executeTakeFirst()
    if (gone) return false
  }
  const { numInsertedOrUpdatedRows: rows = 0n } = await tx
    .insertInto('record')
    .values({ ...entry, body: JSON.stringify(entry.body) })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return rows > 0n
}

async function putAside(tx: Transaction<Tables>, { stream, created }: Projected, aside: SetAside): Promise<void> {
  await tx
    .insertInto('set_aside')
    .values({ stream, created, ...aside, body: Buffer.from(aside.body) })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

function refusedEntry({ namespace, instance, run, kind, sequence, body, at }: PlacedEntry, error: unknown): SetAside {
  const subject = `k8sclaw.${namespace}.${instance}.run.${run}.${kind}`
  return { sequence, subject, body: Buffer.from(JSON.stringify(body)), at, reason: errorMessage(error) }
}

/**
 * Whether it is the row that is wrong and would be so again, by the class of the SQLSTATE: data exception, integrity
 * constraint violation, program limit exceeded.
 */
function isOfData(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && /^(22|23|54)[0-9A-Z]{3}$/.test(code)
}
