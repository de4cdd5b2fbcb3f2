import { createHash } from 'node:crypto'
import { type Expression, sql, type Transaction } from 'kysely'
import { ClawError } from '#core/errors'
import { heldIn, type MemoryHolder, type MemoryScope } from './memory-holder.ts'
import { type MemoryVector, setVector } from './memory-vectors.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

export interface NewMemory {
  scope: MemoryScope
  content: string
  expiresAt: Date | undefined
  /** The call that asks for it. */
  run: string
  attempt: number
  call: string
  at: Date
  /** Absent where it could not be made; `prepareVectors` and `addVectors` make up for it later. */
  vector?: MemoryVector | undefined
}

/** The most that are kept: of one session or one user, and of an instance in all scopes together. */
export const memoryLimits = { owner: 10_000, instance: 100_000 }

/** How long it is remembered that a memory was deleted: far longer than a call may wait to be performed. */
const forgottenFor = '1 day'

/**
 * Keeps a memory and returns its id. The same content in the same place is the same memory, whoever stores it: only when
 * it expires is set anew. Throws `forbidden` for a scope that the holder has not, `gone` where its session, or since the
 * call this memory, was deleted, and `too_large` where there is no room for another one.
 */
export async function storeMemory(
  { db }: Store,
  holder: MemoryHolder,
  { scope, content, expiresAt, run, attempt, call, at, vector }: NewMemory,
): Promise<{ id: string; known: boolean }> {
  const { namespace, instance, owners } = holder
  const owner = heldIn(owners, scope)
  const text = content.replaceAll('\0', '\ufffd')
  const id = memoryId(namespace, instance, scope, owner, text)
  return await db.transaction().execute(async (tx) => {
    if (scope === 'session') {
      // Held until the end, so that whoever deletes the conversation finds this memory or is found by it.
      const session = tx.selectFrom('sessions').select('id').where('id', '=', owner).forKeyShare()
      if (!(await session.executeTakeFirst())) throw new ClawError('gone', 'the session of this run was deleted')
    }
    await holdMemories(tx, holder)
    const found = await tx
      .insertInto('memories')
      .values({
        ...{ id, namespace, instance, scope, owner, content: text, run, attempt, call, created_at: at },
        ...{ expires_at: expiresAt ?? null, embedding_model: null, embedding_dimensions: null },
      })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ expires_at: expiresAt ?? null }))
      .returning(sql<boolean>`xmax <> 0`.as('known'))
      .executeTakeFirstOrThrow()
    // It is there already: thrown, it is taken back.
    if (!found.known) await refuse(tx, { id, namespace, instance, scope, owner, at })
    if (vector && !found.known) await setVector(vector, sql`id = ${id}`).execute(tx)
    return { id, known: found.known }
  })
}

/** Removes one of the holder's memories; false where there is none of that id, or it is somebody else's. */
export async function forgetMemory(
  { db }: Store,
  holder: MemoryHolder,
  { id, at }: { id: string; at: Date },
): Promise<boolean> {
  const { namespace, instance, owners } = holder
  const held = Object.entries(owners) as [MemoryScope, string][]
  return await db.transaction().execute(async (tx) => {
    await holdMemories(tx, holder)
    const one = tx
      .selectFrom('memories')
      .select('id')
      .where('id', '=', id)
      .where('namespace', '=', namespace)
      .where('instance', '=', instance)
      .where((where) => where.or(held.map(([scope, owner]) => where.and({ scope, owner }))))
    return (await remove(tx, one, at)) > 0
  })
}

/** Removes what has expired, and returns how much that was. */
export async function expireMemories({ patient: db }: Store, now: Date): Promise<number> {
  const { numDeletedRows } = await db.deleteFrom('memories').where('expires_at', '<=', now).executeTakeFirst()
  await sql`delete from forgotten_memories where at < ${now}::timestamptz - ${forgottenFor}::interval`.execute(db)
  return Number(numDeletedRows)
}

/** Until the transaction ends, whoever else stores or deletes memories of this instance waits. */
export async function holdMemories(
  tx: Transaction<Tables>,
  { namespace, instance }: Pick<MemoryHolder, 'namespace' | 'instance'>,
): Promise<void> {
  await sql`select pg_advisory_xact_lock(${lockSpace}, hashtext(${`${namespace}/${instance}`}))`.execute(tx)
}

/** Any number that nobody else uses. */
const lockSpace = 5_107_221

/** Deletes these, remembers that it did, and returns how many they were. */
export async function remove(tx: Transaction<Tables>, ids: Expression<{ id: string }>, at: Date): Promise<number> {
  const { rows } = await sql`with gone as (
      delete from memories where id in (${ids}) returning id
    )
    insert into forgotten_memories (id, at) select id, ${at} from gone
    on conflict (id) do update set at = excluded.at returning id`.execute(tx)
  return rows.length
}

/** Throws where the memory that was just made may not be: it was deleted since that call, or there is no room. */
async function refuse(
  tx: Transaction<Tables>,
  {
    id,
    namespace,
    instance,
    scope,
    owner,
    at,
  }: Record<'id' | 'namespace' | 'instance' | 'owner', string> & {
    scope: MemoryScope
    at: Date
  },
): Promise<void> {
  const all = tx
    .selectFrom('memories')
    .select(sql<number>`count(*)`.as('count'))
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
  const { deleted, own, among } = await tx
    .selectNoFrom(({ exists, selectFrom }) => [
      exists(selectFrom('forgotten_memories').select('id').where('id', '=', id).where('at', '>=', at)).as('deleted'),
      all.where('scope', '=', scope).where('owner', '=', owner).as('own'),
      all.as('among'),
    ])
    .executeTakeFirstOrThrow()
  if (deleted) throw new ClawError('gone', 'this memory was deleted after it was stored')
  if (scope !== 'instance' && (own ?? 0) > memoryLimits.owner) throw full(scope, memoryLimits.owner)
  if ((among ?? 0) > memoryLimits.instance) throw full('instance', memoryLimits.instance)
}

function full(scope: MemoryScope, most: number): ClawError {
  return new ClawError(
    'too_large',
    `this ${scope} has ${most} memories, which is the most: forget some, or let them expire`,
  )
}

function memoryId(...place: string[]): string {
  return createHash('sha256').update(JSON.stringify(place)).digest('hex').slice(0, 32)
}
