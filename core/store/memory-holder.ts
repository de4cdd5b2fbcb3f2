import { type RawBuilder, type SqlBool, sql } from 'kysely'
import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { VectorSpace } from './memory-vectors.ts'
import type { Store } from './store.ts'

export type MemoryScope = 'session' | 'user' | 'instance'

/** A run, as far as memory goes: whose memories of each scope it may see and make. A scope that it has not is absent. */
export interface MemoryHolder {
  namespace: string
  instance: string
  owners: { [scope in MemoryScope]?: string }
  /** What makes the vectors of these memories; absent is the model of the platform. */
  space?: VectorSpace | undefined
}

/** Of the task of a run; a record of before there were memories says nothing of them. */
const resolved = z.object({
  effective: z.object({
    memory: z
      .object({
        scopes: z.array(z.string()),
        user: z.string().optional(),
        embeddings: z.object({ provider: z.string(), name: z.string(), dimensions: z.int().min(1) }).optional(),
      })
      .default({ scopes: ['session'] }),
  }),
})

export interface RunPlace {
  namespace: string
  instance: string
  /** uid of the AgentRun. */
  run: string
}

/** A run that its record says something of. */
export interface HeldBy extends MemoryHolder {
  /** When it began. */
  since: Date
  /** Whether it is over. */
  over: boolean
}

/**
 * How far the memories of a run reach, and what makes their vectors, by what its record says that was resolved for it.
 * Undefined for a run of which there is no record, for instance because its session was deleted.
 */
export async function memoryHolder({ db }: Store, { namespace, instance, run }: RunPlace): Promise<HeldBy | undefined> {
  const row = await db
    .selectFrom('runs')
    .innerJoin('record', 'record.run', 'runs.uid')
    .select(['runs.session_id', 'runs.started_at', 'runs.ended_at', 'record.body'])
    .where('runs.uid', '=', run)
    .where('runs.namespace', '=', namespace)
    .where('runs.instance', '=', instance)
    .where('record.kind', '=', 'in')
    .orderBy('record.epoch')
    .orderBy('record.sequence')
    .limit(1)
    .executeTakeFirst()
  const task = resolved.safeParse(row?.body)
  if (!row || !task.success) return undefined
  const { scopes, user, embeddings } = task.data.effective.memory
  return {
    namespace,
    instance,
    owners: {
      ...(scopes.includes('session') && row.session_id !== null && { session: row.session_id }),
      ...(scopes.includes('user') && user !== undefined && { user }),
      ...(scopes.includes('instance') && { instance: '' }),
    },
    ...(embeddings && {
      space: { model: `${embeddings.provider}/${embeddings.name}`, dimensions: embeddings.dimensions },
    }),
    since: row.started_at,
    over: row.ended_at !== null,
  }
}

/** A condition: what the holder may see, each of its scopes with whose it is there. Throws `forbidden` for one it has not. */
export function heldOf(
  { namespace, instance, owners }: MemoryHolder,
  scope?: MemoryScope | undefined,
): RawBuilder<SqlBool> {
  if (scope) heldIn(owners, scope)
  const places = Object.entries(owners).filter(([name]) => scope === undefined || name === scope)
  const of = sql.join(
    places.map(([name, owner]) => sql`(scope = ${name} and owner = ${owner})`),
    sql` or `,
  )
  return sql`namespace = ${namespace} and instance = ${instance} and (${places.length > 0 ? of : sql`false`})`
}

/** Whose the memories of this scope are. Throws `forbidden` where the holder has none. */
export function heldIn(owners: MemoryHolder['owners'], scope: MemoryScope): string {
  const owner = owners[scope]
  if (owner === undefined) throw new ClawError('forbidden', `this run has no memories of scope ${scope}`)
  return owner
}
