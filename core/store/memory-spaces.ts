import { sql } from 'kysely'
import type { HeldBy } from './memory-holder.ts'
import type { Store } from './store.ts'

/**
 * Takes note of what makes the vectors of an instance's memories, as this run was told; of two runs the one that began
 * later counts. What has no such vector is made up for: by the platform, or by runs of that instance. False where a later
 * run was told something else.
 */
export async function chooseSpace({ db }: Store, { namespace, instance, space, since }: HeldBy): Promise<boolean> {
  const chosen = { model: space?.model ?? null, dimensions: space?.dimensions ?? null }
  const known = await db
    .selectFrom('memory_spaces')
    .select(['model', 'dimensions'])
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
    .executeTakeFirst()
  // An instance that never had its own has no row.
  if ((known?.model ?? null) === chosen.model && (known?.dimensions ?? null) === chosen.dimensions) return true
  const taken = await db
    .insertInto('memory_spaces')
    .values({ namespace, instance, ...chosen, since })
    .onConflict((conflict) =>
      conflict
        .columns(['namespace', 'instance'])
        .doUpdateSet({ ...chosen, since })
        .where('memory_spaces.since', '<=', sql<Date>`excluded.since`),
    )
    .executeTakeFirst()
  return (taken.numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Whether the vectors of these memories are made by a model of the instance's own provider, which only its runs can ask. */
export async function hasOwnSpace(
  { db }: Store,
  { namespace, instance }: { namespace: string; instance: string },
): Promise<boolean> {
  const found = await db
    .selectFrom('memory_spaces')
    .select('model')
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
    .where('model', 'is not', null)
    .executeTakeFirst()
  return found !== undefined
}
