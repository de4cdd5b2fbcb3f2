import { sql } from 'kysely'
import type { Store } from './store.ts'

/** Where a row stands among those that were set aside. */
export interface AsidePlace {
  at: Date
  stream: string
  sequence: number
}

/** An entry that is on the bus and not in the record, but for its content, which is a tenant's. */
export interface AsideRow extends AsidePlace {
  subject: string
  reason: string
  bytes: number
}

/** What was set aside of all tenants, the newest first. */
export async function listSetAside(
  { db }: Store,
  { limit, after }: { limit: number; after?: AsidePlace | undefined },
): Promise<AsideRow[]> {
  let rows = db
    .selectFrom('set_aside')
    .select(['at', 'stream', 'sequence', 'subject', 'reason', sql<number>`octet_length(body)`.as('bytes')])
  if (after) rows = rows.where(sql<boolean>`(at, stream, sequence) < (${after.at}, ${after.stream}, ${after.sequence})`)
  const newestFirst = rows.orderBy('at', 'desc').orderBy('stream', 'desc').orderBy('sequence', 'desc')
  return await newestFirst.limit(limit).execute()
}
