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

/** The runs of a namespace, the newest first. */
export async function listRuns({ db }: Store, query: RunQuery): Promise<RunRow[]> {
  const { namespace, instance, session, limit, after } = query
  let rows = db
    .selectFrom('runs')
    .select(['uid', 'namespace', 'instance', 'name', 'agent', 'policy', 'provider', 'model', 'task'])
    .select(['started_at as startedAt', 'phase', 'reason', 'result', 'error', 'ended_at as endedAt'])
    .select(['model_calls as modelCalls', 'tool_calls as toolCalls'])
    .where('namespace', '=', namespace)
  if (instance !== undefined) rows = rows.where('instance', '=', instance)
  if (session !== undefined) rows = rows.where('session_id', '=', session)
  if (after) rows = rows.where(sql<boolean>`(started_at, uid) < (${after.at}, ${after.id})`)
  return await rows.orderBy('started_at', 'desc').orderBy('uid', 'desc').limit(limit).execute()
}
