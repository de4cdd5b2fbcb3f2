import { type SqlBool, sql } from 'kysely'
import { holdMemories, remove } from './memories.ts'
import type { MemoryScope } from './memory-holder.ts'
import type { After } from './sessions.ts'
import type { Store } from './store.ts'

/** Some of the memories of a namespace, for people, whom no run binds to a scope. */
export interface MemoryPlace {
  namespace: string
  instance?: string | undefined
  scope?: MemoryScope | undefined
  /** The id of a session, or the name of a user. */
  owner?: string | undefined
}

export interface MemoryRow {
  id: string
  namespace: string
  instance: string
  scope: MemoryScope
  owner: string
  content: string
  /** uid of the AgentRun that stored it first. */
  run: string
  call: string
  createdAt: Date
  expiresAt: Date | null
}

export interface MemoryListQuery extends MemoryPlace {
  limit: number
  after?: After | undefined
  now: Date
}

/** In one transaction, so that what agents store meanwhile does not wait for long. */
const batch = 500

/** Those that have not expired, the newest first. */
export async function listMemories({ db }: Store, { limit, after, now, ...place }: MemoryListQuery) {
  let rows = rowsOf(db, now).where(within(place))
  if (after) rows = rows.where(sql<SqlBool>`(created_at, id) < (${after.at}, ${after.id})`)
  return await rows.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

/** One memory; undefined where there is none, or none any more. */
export async function findMemory(
  { db }: Store,
  { namespace, id }: { namespace: string; id: string },
  now: Date,
): Promise<MemoryRow | undefined> {
  return await rowsOf(db, now).where('namespace', '=', namespace).where('id', '=', id).executeTakeFirst()
}

/** Deletes one memory for good; false where there is none. */
export async function deleteMemory(
  { db }: Store,
  { namespace, id }: { namespace: string; id: string },
  now: Date,
): Promise<boolean> {
  return await db.transaction().execute(async (tx) => {
    const found = await tx
      .selectFrom('memories')
      .select('instance')
      .where('namespace', '=', namespace)
      .where('id', '=', id)
      .executeTakeFirst()
    if (!found) return false
    await holdMemories(tx, { namespace, instance: found.instance })
    return (await remove(tx, tx.selectFrom('memories').select('id').where('id', '=', id), now)) > 0
  })
}

/** Deletes all memories of that place for good, and returns how many there were. */
export async function deleteMemories(
  { db }: Store,
  place: MemoryPlace & { instance: string },
  now: Date,
): Promise<number> {
  for (let deleted = 0; ; ) {
    const gone = await db.transaction().execute(async (tx) => {
      await holdMemories(tx, place)
      return await remove(tx, tx.selectFrom('memories').select('id').where(within(place)).limit(batch), now)
    })
    deleted += gone
    if (gone < batch) return deleted
  }
}

/** A condition on the table of memories. */
export function within({ namespace, instance, scope, owner }: MemoryPlace) {
  const told = Object.entries({ instance, scope, owner }).filter(([, value]) => value !== undefined)
  return sql<SqlBool>`${sql.join(
    [['namespace', namespace] as const, ...told].map(([name, value]) => sql`${sql.ref(name)} = ${value}`),
    sql` and `,
  )}`
}

function rowsOf(db: Store['db'], now: Date) {
  return db
    .selectFrom('memories')
    .select(['id', 'namespace', 'instance', 'scope', 'owner', 'content', 'run', 'call'])
    .select(['created_at as createdAt', 'expires_at as expiresAt'])
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', now)]))
}
