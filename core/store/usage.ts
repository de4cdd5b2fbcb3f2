import { sql } from 'kysely'
import type { Store } from './store.ts'

export interface UsageQuery {
  namespace: string
  instance?: string | undefined
  /** From this moment on. */
  from: Date
  /** Before this moment. */
  to: Date
}

/** What one agent of one instance used of one model on one day (UTC). */
export interface UsageRow {
  day: string
  instance: string
  agent: string | null
  policy: string | null
  provider: string
  model: string
  calls: number
  inputTokens: number
  outputTokens: number
  /** Calls that were refused or failed, and so used nothing. */
  failed: number
  /** Other calls of which the provider did not say what they used. */
  unmetered: number
}

/**
 * A provider that refuses or fails bills nothing. One that took too long may: what that used is not known, and neither is
 * how calls ended that were kept before their status was.
 */
const failed = sql<boolean>`coalesce(status not between 200 and 299 and status not in (0, 504), false)`

/** Usage of a namespace by day, instance, agent, policy and model. */
export async function usageOf({ db }: Store, { namespace, instance, from, to }: UsageQuery): Promise<UsageRow[]> {
  const day = sql<string>`to_char(at at time zone 'UTC', 'YYYY-MM-DD')`
  let query = db
    .selectFrom('usage')
    .select(['instance', 'agent', 'policy', 'provider', 'model'])
    .select([
      day.as('day'),
      sql<number>`count(*)::int`.as('calls'),
      sql<number>`coalesce(sum(input_tokens), 0)::bigint`.as('inputTokens'),
      sql<number>`coalesce(sum(output_tokens), 0)::bigint`.as('outputTokens'),
      sql<number>`count(*) filter (where ${failed})::int`.as('failed'),
      sql<number>`count(*) filter (where input_tokens is null and not ${failed})::int`.as('unmetered'),
    ])
    .where('namespace', '=', namespace)
    .where('at', '>=', from)
    .where('at', '<', to)
  if (instance !== undefined) query = query.where('instance', '=', instance)
  return await query
    .groupBy([day, 'instance', 'agent', 'policy', 'provider', 'model'])
    .orderBy(day)
    .orderBy('instance')
    .orderBy('agent')
    .orderBy('policy')
    .orderBy('provider')
    .orderBy('model')
    .execute()
}
