import { sql } from 'kysely'
import type { RecordEntry } from './record-entry.ts'
import type { Store } from './store.ts'

/** Looked back over; whoever waits for an answer asked within the last seconds. */
const newest = 5_000

/**
 * Calls of tools whose names begin so that were recorded since then and have no recorded answer, oldest first: what a
 * performer that was killed may have left undone.
 */
export async function openCalls({ patient: db }: Store, prefix: string, since: Date): Promise<RecordEntry[]> {
  const last = db
    .selectFrom('record')
    .selectAll()
    .where('stream', '=', 'RUNS')
    .orderBy('epoch', 'desc')
    .orderBy('sequence', 'desc')
    .limit(newest)
  const rows = await db
    .selectFrom(last.as('last'))
    .selectAll()
    .where('kind', '=', 'journal')
    .where('at', '>=', since)
    .where(sql<boolean>`strpos(body::text, ${`"${prefix}`}) > 0`)
    .orderBy('epoch')
    .orderBy('sequence')
    .execute()
  const open = new Map<string, RecordEntry>()
  for (const { epoch: _, ...entry } of rows) {
    const { kind, attempt, call, callId } = entry.body as Journalled
    const key = JSON.stringify([entry.run, attempt, call?.id ?? callId])
    if (kind === 'answered') open.delete(key)
    else if (call?.tool.startsWith(prefix)) open.set(key, entry)
  }
  return [...open.values()]
}

/** As much of a journal's entry as is looked at. */
interface Journalled {
  kind: string
  attempt: number
  call?: { id: string; tool: string }
  callId?: string
}
