import { sql } from 'kysely'
import { type Fitted, fitHistory, type Said, type SummaryRow } from './fit.ts'
import type { Store } from './store.ts'

export interface HistoryQuery {
  namespace: string
  instance: string
  /** uid of the run that asks. */
  run: string
  /** Most bytes of UTF-8 that the contents of what is told word for word may have together. */
  maxBytes: number
}

/** Read in one go; of a conversation that is longer, and of which no summary tells, the rest is left out. */
const newest = 1_000

/**
 * What was said in the conversation of a run before it began, oldest first: whole turns, the newest that fit, the newest
 * summary of what stands before them, and what is to be summarised where that does not reach to them. A run without a
 * session, or of another tenant, has none.
 */
export async function historyOf({ db }: Store, { namespace, instance, run, maxBytes }: HistoryQuery): Promise<Fitted> {
  const asking = await db
    .selectFrom('messages')
    .innerJoin('sessions', 'sessions.id', 'messages.session_id')
    .leftJoin('session_marks as mark', (join) =>
      join
        .onRef('mark.namespace', '=', 'sessions.namespace')
        .onRef('mark.instance', '=', 'sessions.instance')
        .onRef('mark.key', '=', 'sessions.key'),
    )
    .select(['messages.session_id as session', 'messages.epoch', 'messages.sequence', 'mark.reset_at as reset'])
    .where('messages.run', '=', run)
    .where('messages.role', '=', 'user')
    .where('messages.namespace', '=', namespace)
    .where('messages.instance', '=', instance)
    // Its task: what was said to it later comes behind.
    .orderBy('messages.epoch')
    .orderBy('messages.sequence')
    .limit(1)
    .executeTakeFirst()
  if (!asking) return { history: [], cut: false }
  const { session, epoch, sequence } = asking
  const since = asking.reset ?? new Date(0)
  const own = await db
    .selectFrom('messages')
    .innerJoin('runs', 'runs.uid', 'messages.run')
    .select(['messages.run', 'messages.role', 'messages.content'])
    .where('messages.session_id', '=', session)
    .where(sql<boolean>`(messages.epoch, messages.sequence) < (${epoch}, ${sequence})`)
    // A turn that began before the reset is left out whole.
    .where('runs.started_at', '>', since)
    .orderBy('messages.epoch', 'desc')
    .orderBy('messages.sequence', 'desc')
    .limit(newest)
    .execute()
  const copied = await db
    .selectFrom('fork_messages')
    .innerJoin('forks', 'forks.session_id', 'fork_messages.session_id')
    .select(['fork_messages.run', 'fork_messages.role', 'fork_messages.content'])
    .where('forks.session_id', '=', session)
    .where('forks.at', '>', since)
    .orderBy('position', 'desc')
    .limit(newest - own.length)
    .execute()
  const said: Said[] = [...own, ...copied]
  const summary = await summaryBefore(db, { session, epoch, sequence, since })
  return fitHistory(said, { summary, maxBytes, more: said.length === newest })
}

interface Place {
  session: string
  epoch: number
  sequence: number
  since: Date
}

/** The newest summary that a run made which began after the reset, and so was told nothing of before it. */
async function summaryBefore(
  db: Store['db'],
  { session, epoch, sequence, since }: Place,
): Promise<SummaryRow | undefined> {
  return await db
    .selectFrom('session_summaries as made')
    .innerJoin('runs', 'runs.uid', 'made.run')
    .select(['made.run', 'made.through', 'made.content', 'made.partial'])
    .select(sql<string>`runs.provider || '/' || runs.model`.as('model'))
    .where('made.session_id', '=', session)
    .where(sql<boolean>`(made.epoch, made.sequence) < (${epoch}, ${sequence})`)
    .where('runs.started_at', '>', since)
    .orderBy('made.epoch', 'desc')
    .orderBy('made.sequence', 'desc')
    .limit(1)
    .executeTakeFirst()
}
