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
  const rows = await db
    .selectFrom('messages as asking')
    .innerJoin('messages as said', 'said.session_id', 'asking.session_id')
    .innerJoin('sessions', 'sessions.id', 'asking.session_id')
    .leftJoin('session_marks as mark', (join) =>
      join
        .onRef('mark.namespace', '=', 'sessions.namespace')
        .onRef('mark.instance', '=', 'sessions.instance')
        .onRef('mark.key', '=', 'sessions.key'),
    )
    .select(['said.run', 'said.role', 'said.content'])
    .where('asking.run', '=', run)
    .where('asking.role', '=', 'user')
    .where('asking.namespace', '=', namespace)
    .where('asking.instance', '=', instance)
    .where('said.namespace', '=', namespace)
    .where('said.instance', '=', instance)
    .where(sql<boolean>`(said.at, said.sequence) < (asking.at, asking.sequence)`)
    .where((where) => where.or([where('mark.reset_at', 'is', null), where('said.at', '>', where.ref('mark.reset_at'))]))
    .orderBy('said.at', 'desc')
    .orderBy('said.sequence', 'desc')
    .limit(newest)
    .execute()
  return newestTurns(rows, maxBytes)
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
