import { sql } from 'kysely'
import type { SummaryRow } from './fit.ts'
import type { Store } from './store.ts'

export interface TranscriptRow {
  /** uid of the AgentRun. */
  run: string
  role: 'user' | 'assistant'
  content: string
  at: Date
}

/** Where a message stands: what a conversation was forked from is before its own. */
export interface TranscriptPlace {
  part: 'copied' | 'own'
  epoch: number
  sequence: number
}

export interface TranscriptQuery {
  limit: number
  after?: TranscriptPlace | undefined
}

/** Most bytes of a page, but for one message that is longer. */
const maxBytes = 1024 * 1024

/** What was said in a conversation from some place on, oldest first, and where the next page begins if there is one. */
export async function transcriptOf(
  { db }: Store,
  { namespace, id }: { namespace: string; id: string },
  { limit, after }: TranscriptQuery,
): Promise<{ messages: TranscriptRow[]; next?: TranscriptPlace }> {
  const from = after ? [after.part === 'own' ? 1 : 0, after.epoch, after.sequence] : [0, 0, -1]
  const place = sql`part, epoch, sequence`
  const { rows } = await sql<TranscriptRow & { part: number; epoch: number; sequence: number; found: number }>`
    select part, epoch, sequence, run, role, content, at, found from (
      select said.*, (count(*) over ())::int as found,
        sum(octet_length(content)) over (order by ${place}) - octet_length(content) as before
      from (
        select * from (
          select 0 as part, 0 as epoch, position::bigint as sequence, run, role, content, copied.at
            from fork_messages as copied join forks using (session_id)
            where session_id = ${id} and namespace = ${namespace}
          union all
          select 1, epoch, sequence, run, role, content, at
            from messages where session_id = ${id} and namespace = ${namespace}
        ) as every
        where (${place}) > (${from[0]}::int, ${from[1]}::int, ${from[2]}::bigint)
        order by ${place} limit ${limit + 1}
      ) as said
    ) as page
    where before < ${maxBytes} order by ${place} limit ${limit}`.execute(db)
  const messages = rows.map(({ run, role, content, at }) => ({ run, role, content, at }))
  const last = rows.at(-1)
  if (!last || rows.length === last.found) return { messages }
  const { part, epoch, sequence } = last
  return { messages, next: { part: part === 1 ? 'own' : 'copied', epoch, sequence } }
}

/** What a run is told instead of the beginning of a conversation, and where it came from. */
export interface KeptSummary extends SummaryRow {
  /** How many messages it was made of, the summary before not counted. */
  messages: number
  at: Date
}

/** The newest summary of a conversation. */
export async function newestSummary(
  { db }: Store,
  { namespace, id }: { namespace: string; id: string },
): Promise<KeptSummary | undefined> {
  return await db
    .selectFrom('session_summaries as made')
    .innerJoin('runs', 'runs.uid', 'made.run')
    .select(['made.run', 'made.through', 'made.content', 'made.partial', 'made.messages', 'made.at'])
    .select(sql<string>`runs.provider || '/' || runs.model`.as('model'))
    .where('made.session_id', '=', id)
    .where('made.namespace', '=', namespace)
    .orderBy('made.epoch', 'desc')
    .orderBy('made.sequence', 'desc')
    .limit(1)
    .executeTakeFirst()
}
