import { sql } from 'kysely'
import type { After } from './sessions.ts'
import type { Store } from './store.ts'

/** What is kept of a run, also when its AgentRun, its pod and its record on the bus are gone. */
export interface RunRow {
  uid: string
  namespace: string
  instance: string
  name: string
  agent: string
  policy: string
  provider: string
  model: string
  task: string
  startedAt: Date
  phase: string
  reason: string | null
  result: string | null
  error: string | null
  endedAt: Date | null
  modelCalls: number
  toolCalls: number
}

export interface RunQuery {
  namespace: string
  instance?: string | undefined
  /** Only those of one conversation. */
  session?: string | undefined
  limit: number
  after?: After | undefined
}

/** Most bytes of a page, but for one run that is longer. */
const maxBytes = 1024 * 1024

/** The runs of a namespace, the newest first, and whether there are more behind them. */
export async function listRuns({ db }: Store, query: RunQuery): Promise<{ runs: RunRow[]; more: boolean }> {
  const { namespace, instance, session, limit, after } = query
  let every = db
    .selectFrom('runs')
    .select(['uid', 'namespace', 'instance', 'name', 'agent', 'policy', 'provider', 'model', 'task'])
    .select(['started_at as startedAt', 'phase', 'reason', 'result', 'error', 'ended_at as endedAt'])
    .select(['model_calls as modelCalls', 'tool_calls as toolCalls'])
    .select(sql<number>`octet_length(concat(task, result, error))`.as('bytes'))
    .where('namespace', '=', namespace)
  if (instance !== undefined) every = every.where('instance', '=', instance)
  if (session !== undefined) every = every.where('session_id', '=', session)
  if (after) every = every.where(sql<boolean>`(started_at, uid) < (${after.at}, ${after.id})`)
  const page = db
    .selectFrom(
      every
        .orderBy('started_at', 'desc')
        .orderBy('uid', 'desc')
        .limit(limit + 1)
        .as('every'),
    )
    .selectAll()
    .select(sql<number>`count(*) over ()`.as('found'))
    .select(sql<number>`sum(bytes) over (order by "startedAt" desc, uid desc) - bytes`.as('before'))
  const rows = await db
    .selectFrom(page.as('page'))
    .selectAll()
    .where('before', '<', maxBytes)
    .orderBy('startedAt', 'desc')
    .orderBy('uid', 'desc')
    .limit(limit)
    .execute()
  const runs = rows.map(({ bytes, found, before, ...run }) => run)
  return { runs, more: runs.length < (rows[0]?.found ?? 0) }
}
