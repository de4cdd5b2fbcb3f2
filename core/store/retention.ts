import { type SqlBool, sql, type Transaction } from 'kysely'
import { forget } from './forget.ts'
import { deleteSession } from './sessions.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

export interface Expiry {
  namespace: string
  /** Name of the policy; it decides for the instances whose newest run it bound. */
  policy: string
  /** Conversations that were last used before then go. */
  sessionsBefore?: Date | undefined
  /** What runs did that ended before then goes. */
  recordBefore?: Date | undefined
}

/** In one transaction, so that others wait for none of it. */
const batch = 100
/** Longer than a run can last: one without an end after that has none. */
const longestRun = '8 days'

/**
 * Deletes what has been kept long enough: conversations as by `deleteSession`; of what runs did, all but their task and
 * outcome where these are part of a conversation. Usage stays, as numbers. Returns how much went.
 */
export async function expire(store: Store, expiry: Expiry, now: Date): Promise<{ sessions: number; runs: number }> {
  return { sessions: await expireSessions(store, expiry, now), runs: await expireRecords(store, expiry, now) }
}

async function expireSessions(store: Store, expiry: Expiry, now: Date): Promise<number> {
  const { namespace, sessionsBefore } = expiry
  if (!sessionsBefore) return 0
  for (let expired = 0; ; ) {
    const old = await oldSessions(store, expiry, sessionsBefore, now)
    for (const { id } of old) await deleteSession(store, { namespace, id }, now)
    expired += old.length
    if (old.length < batch) return expired
  }
}

async function oldSessions({ patient: db }: Store, expiry: Expiry, before: Date, now: Date) {
  return await db
    .selectFrom('sessions')
    .select('id')
    .where('namespace', '=', expiry.namespace)
    .where('updated_at', '<', before)
    .where(boundBy('sessions', expiry))
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('runs')
            .select('uid')
            .whereRef('runs.session_id', '=', 'sessions.id')
            .where('ended_at', 'is', null)
            .where('started_at', '>', sql<Date>`${now}::timestamptz - ${longestRun}::interval`),
        ),
      ),
    )
    .limit(batch)
    .execute()
}

async function expireRecords({ patient: db }: Store, expiry: Expiry, now: Date): Promise<number> {
  const { namespace, recordBefore } = expiry
  if (!recordBefore) return 0
  for (let expired = 0; ; ) {
    const runs = await db
      .selectFrom('runs')
      .select(['uid', 'session_id'])
      .where('namespace', '=', namespace)
      .where('ended_at', '<', recordBefore)
      .where(boundBy('runs', expiry))
      // Of a run in a conversation its task and outcome stay, and with them the run itself.
      .where(({ or, eb, exists, selectFrom }) =>
        or([
          eb('session_id', 'is', null),
          exists(
            selectFrom('record').select('run').whereRef('record.run', '=', 'runs.uid').where('kind', '=', 'journal'),
          ),
        ]),
      )
      .limit(batch)
      .execute()
    await db.transaction().execute(async (tx) => {
      const alone = runs.filter(({ session_id }) => session_id === null).map(({ uid }) => uid)
      await forget(tx, alone, now)
      if (alone.length > 0) await tx.deleteFrom('runs').where('uid', 'in', alone).execute()
      const said = runs.filter(({ session_id }) => session_id !== null).map(({ uid }) => uid)
      if (said.length > 0) await thin(tx, said)
    })
    expired += runs.length
    if (runs.length < batch) return expired
  }
}

/** Leaves the task, which is the first that is sent to a run, and the outcome. */
async function thin(tx: Transaction<Tables>, runs: string[]): Promise<void> {
  await tx.deleteFrom('record').where('run', 'in', runs).where('kind', '=', 'journal').execute()
  const place = sql`(epoch::bigint << 48) + sequence`
  await sql`delete from record using (
      select run, min(${place}) as task from record where kind = 'in' and run = any(${runs}) group by run
    ) as first
    where record.run = first.run and kind = 'in' and ${place} <> first.task`.execute(tx)
}

/** Whether the newest run of the instance was bound by that policy. */
function boundBy(table: 'sessions' | 'runs', { policy }: Expiry) {
  const { ref } = sql
  return sql<SqlBool>`(
    select newest.policy from runs as newest
    where newest.namespace = ${ref(`${table}.namespace`)} and newest.instance = ${ref(`${table}.instance`)}
    order by newest.started_at desc, newest.uid limit 1
  ) = ${policy}`
}
