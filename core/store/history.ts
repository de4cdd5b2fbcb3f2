import { sql } from 'kysely'
import type { Store } from './store.ts'

export interface HistoryMessage {
  role: 'user' | 'assistant'
  content: string
}

export interface HistoryQuery {
  namespace: string
  instance: string
  /** uid of the run that asks. */
  run: string
  /** Most bytes of UTF-8 that the contents may have together. */
  maxBytes: number
}

/** Read in one go; a conversation that is longer is told from there on. */
const newest = 1_000

/**
 * What was said in the conversation of a run before it began, oldest first: whole turns, the newest that fit. `cut` says
 * whether something older exists. A run without a session, or of another tenant, has none.
 */
export async function historyOf(
  { db }: Store,
  { namespace, instance, run, maxBytes }: HistoryQuery,
): Promise<{ history: HistoryMessage[]; cut: boolean }> {
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
  return newestTurns([...own, ...copied], maxBytes)
}

interface Said extends HistoryMessage {
  run: string
}

/** Whole turns, newest first in, oldest first out. */
export function newestTurns(rows: readonly Said[], maxBytes: number): { history: HistoryMessage[]; cut: boolean } {
  const history: HistoryMessage[] = []
  let bytes = 0
  for (const turn of Map.groupBy(rows, (row) => row.run).values()) {
    bytes += turn.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0)
    if (bytes > maxBytes) return { history: history.toReversed(), cut: true }
    history.push(...turn.map(({ role, content }) => ({ role, content })))
  }
  return { history: history.toReversed(), cut: rows.length === newest }
}
