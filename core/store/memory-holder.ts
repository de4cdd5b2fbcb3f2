import * as z from 'zod'
import type { MemoryHolder } from './memories.ts'
import type { Store } from './store.ts'

/** Of the task of a run; a record of before there were memories says nothing of them. */
const resolved = z.object({
  effective: z.object({
    memory: z.object({ scopes: z.array(z.string()), user: z.string().optional() }).default({ scopes: ['session'] }),
  }),
})

export interface RunPlace {
  namespace: string
  instance: string
  /** uid of the AgentRun. */
  run: string
}

/**
 * How far the memories of a run reach, by what its record says that was resolved for it. Undefined for a run that is over
 * by that record, or of which there is none, for instance because its session was deleted.
 */
export async function memoryHolder(
  { db }: Store,
  { namespace, instance, run }: RunPlace,
): Promise<MemoryHolder | undefined> {
  const row = await db
    .selectFrom('runs')
    .innerJoin('record', 'record.run', 'runs.uid')
    .select(['runs.session_id', 'record.body'])
    .where('runs.uid', '=', run)
    .where('runs.namespace', '=', namespace)
    .where('runs.instance', '=', instance)
    .where('runs.ended_at', 'is', null)
    .where('record.kind', '=', 'in')
    .orderBy('record.epoch')
    .orderBy('record.sequence')
    .limit(1)
    .executeTakeFirst()
  const task = resolved.safeParse(row?.body)
  if (!row || !task.success) return undefined
  const { scopes, user } = task.data.effective.memory
  return {
    namespace,
    instance,
    owners: {
      ...(scopes.includes('session') && row.session_id !== null && { session: row.session_id }),
      ...(scopes.includes('user') && user !== undefined && { user }),
      ...(scopes.includes('instance') && { instance: '' }),
    },
  }
}
