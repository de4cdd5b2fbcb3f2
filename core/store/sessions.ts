import { sql } from 'kysely'
import { forget } from './forget.ts'
import { holdProjection } from './project.ts'
import type { Store } from './store.ts'
import {
  type KeptSummary,
  newestSummary,
  type TranscriptPlace,
  type TranscriptQuery,
  type TranscriptRow,
  transcriptOf,
} from './transcript.ts'

/** A conversation: its id within its namespace. */
export interface SessionAddress {
  namespace: string
  id: string
}

export interface SessionRow extends SessionAddress {
  instance: string
  /** `spec.sessionKey` of its runs. */
  key: string
  createdAt: Date
  updatedAt: Date
  runs: number
}

export interface Transcript extends SessionRow {
  messages: TranscriptRow[]
  /** Where the next page begins; the last page has none. */
  next?: TranscriptPlace
  /** What is told instead of its beginning. */
  summary?: KeptSummary
}

/** Where the page before ended. */
export interface After {
  at: Date
  id: string
}

export interface SessionQuery {
  namespace: string
  instance?: string | undefined
  limit: number
  after?: After | undefined
}

/** The conversations of a namespace, the one that was used last first. */
export async function listSessions(store: Store, query: SessionQuery): Promise<SessionRow[]> {
  const { namespace, instance, limit, after } = query
  let rows = sessionsOf(store, namespace)
  if (instance !== undefined) rows = rows.where('instance', '=', instance)
  if (after) rows = rows.where(sql<boolean>`(updated_at, id) < (${after.at}, ${after.id})`)
  return await rows.orderBy('updated_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
}

/** One conversation; undefined where there is none. */
export async function findSession(store: Store, { namespace, id }: SessionAddress): Promise<SessionRow | undefined> {
  return await sessionsOf(store, namespace).where('id', '=', id).executeTakeFirst()
}

/** A conversation and a page of what was said in it, oldest first; undefined where there is none. */
export async function showSession(
  store: Store,
  address: SessionAddress,
  query: TranscriptQuery = { limit: 500 },
): Promise<Transcript | undefined> {
  const session = await findSession(store, address)
  if (!session) return undefined
  const summary = await newestSummary(store, address)
  return { ...session, ...(await transcriptOf(store, address, query)), ...(summary && { summary }) }
}

function sessionsOf({ db }: Store, namespace: string) {
  return db
    .selectFrom('sessions')
    .select(['id', 'namespace', 'instance', 'key', 'created_at as createdAt', 'updated_at as updatedAt'])
    .select(sql<number>`(select count(*)::int from runs where runs.session_id = sessions.id)`.as('runs'))
    .where('namespace', '=', namespace)
}

/**
 * From now on runs of this conversation are told nothing of the turns that began before; the transcript stays. False
 * where there is no such conversation.
 */
export async function resetSession({ db }: Store, { namespace, id }: SessionAddress, now: Date): Promise<boolean> {
  const { numInsertedOrUpdatedRows: rows = 0n } = await db
    .insertInto('session_marks')
    .columns(['namespace', 'instance', 'key', 'reset_at'])
    .expression((from) =>
      from
        .selectFrom('sessions')
        .select(['namespace', 'instance', 'key', notBefore(now).as('reset_at')])
        .where('namespace', '=', namespace)
        .where('id', '=', id),
    )
    .onConflict((conflict) =>
      conflict.columns(['namespace', 'instance', 'key']).doUpdateSet({ reset_at: sql`excluded.reset_at` }),
    )
    .executeTakeFirst()
  return rows > 0n
}

/**
 * Removes a conversation with its transcript, its run records and their record, and remembers that it did, so that
 * neither a run that is still at work nor making the rows again brings any of it back. What it used stays, as numbers.
 * False where there was none.
 */
export async function deleteSession(
  { patient: db }: Store,
  { namespace, id }: SessionAddress,
  now: Date,
): Promise<boolean> {
  return await db.transaction().execute(async (tx) => {
    await holdProjection(tx)
    const gone = await tx
      .selectFrom('sessions')
      .select(['namespace', 'instance', 'key', notBefore(now).as('deleted_at')])
      .where('namespace', '=', namespace)
      .where('id', '=', id)
      .executeTakeFirst()
    if (!gone) return false
    const runs = await tx.selectFrom('runs').select('uid').where('session_id', '=', id).execute()
    await forget(
      tx,
      runs.map(({ uid }) => uid),
      now,
    )
    await tx.deleteFrom('forks').where('session_id', '=', id).execute()
    await tx.deleteFrom('memories').where('scope', '=', 'session').where('owner', '=', id).execute()
    await tx.deleteFrom('sessions').where('id', '=', id).execute()
    await tx
      .insertInto('session_marks')
      .values({ ...gone, reset_at: null })
      .onConflict((conflict) =>
        conflict.columns(['namespace', 'instance', 'key']).doUpdateSet({ deleted_at: gone.deleted_at }),
      )
      .execute()
    return true
  })
}

/** Now, or when the session was last used: the clock of the bus, which says that, may be ahead of ours. */
const notBefore = (now: Date) => sql<Date>`greatest(${now}::timestamptz, updated_at)`
