import { sql, type Transaction } from 'kysely'
import { ClawError } from '#core/errors'
import { sessionId } from './derive.ts'
import type { SessionAddress } from './sessions.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

export interface ForkRequest {
  /** `spec.sessionKey` of the runs that go on from there. */
  key: string
  /** uid of the last run whose turn is copied; all of them without it. */
  through?: string | undefined
}

/**
 * Begins a conversation of the same instance with a copy of what was said in this one, and returns its id; undefined
 * where there is no such conversation. Throws `already_exists` where the key has one, `invalid` for a run of another.
 */
export async function forkSession(
  { db }: Store,
  { namespace, id }: SessionAddress,
  { key, through }: ForkRequest,
  now: Date,
): Promise<string | undefined> {
  return await db.transaction().execute(async (tx) => {
    const origin = await tx
      .selectFrom('sessions')
      .select('instance')
      .where('namespace', '=', namespace)
      .where('id', '=', id)
      .executeTakeFirst()
    if (!origin) return undefined
    const { instance } = origin
    const said = await saidIn(tx, id)
    const end = through === undefined ? said.length : said.findLastIndex(({ run }) => run === through) + 1
    if (through !== undefined && end === 0)
      throw new ClawError('invalid', 'through: no run of this session', { field: 'through' })
    const fork = { session_id: sessionId(namespace, instance, key), namespace, instance, key, origin: id, at: now }
    if (!(await began(tx, fork))) throw new ClawError('already_exists', 'the instance has a session of that key')
    await tx.insertInto('forks').values(fork).execute()
    for (const [position, message] of said.slice(0, end).entries())
      await tx
        .insertInto('fork_messages')
        .values({ session_id: fork.session_id, position, ...message })
        .execute()
    return fork.session_id
  })
}

/** What was said in a conversation, what it was forked from first. */
export async function saidIn(tx: Pick<Transaction<Tables>, 'selectFrom'>, id: string) {
  const copied = await tx
    .selectFrom('fork_messages')
    .select(['run', 'role', 'content', 'at'])
    .where('session_id', '=', id)
    .orderBy('position')
    .execute()
  const own = await tx
    .selectFrom('messages')
    .select(['run', 'role', 'content', 'at'])
    .where('session_id', '=', id)
    .orderBy('epoch')
    .orderBy('sequence')
    .execute()
  return [...copied, ...own]
}

/** Has the conversations that began as copies there before any run of theirs. */
export async function restoreForks(tx: Transaction<Tables>): Promise<void> {
  await tx
    .insertInto('sessions')
    .columns(['id', 'namespace', 'instance', 'key', 'created_at', 'updated_at'])
    .expression((from) =>
      from
        .selectFrom('forks')
        .select([
          'session_id as id',
          'namespace',
          'instance',
          'key',
          'at as created_at',
          sql<Date>`at`.as('updated_at'),
        ]),
    )
    .execute()
}

/** Whether the conversation was not there before. */
async function began(
  tx: Transaction<Tables>,
  {
    session_id: id,
    namespace,
    instance,
    key,
    at,
  }: { session_id: string; at: Date } & Record<'namespace' | 'instance' | 'key', string>,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows: rows = 0n } = await tx
    .insertInto('sessions')
    .values({ id, namespace, instance, key, created_at: at, updated_at: at })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return rows > 0n
}
