import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { ClawError } from '#core/errors'
import { asVector, type MemoryVector } from './memory-vectors.ts'
import type { Store } from './store.ts'

export type MemoryScope = 'session' | 'user' | 'instance'

/** A run, as far as memory goes: whose memories of each scope it may see and make. A scope that it has not is absent. */
export interface MemoryHolder {
  namespace: string
  instance: string
  owners: { [scope in MemoryScope]?: string }
}

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

/**
 * Keeps a memory and returns its id. The same content in the same place is the same memory, whoever stores it: only when
 * it expires is set anew. Throws `forbidden` for a scope that the holder has not, and `gone` where its session was deleted.
 */
export async function storeMemory(
  { db }: Store,
  holder: MemoryHolder,
  { scope, content, expiresAt, run, attempt, call, at, vector }: NewMemory,
): Promise<{ id: string; known: boolean }> {
  const { namespace, instance, owners } = holder
  const owner = owners[scope]
  if (owner === undefined) throw notHeld(scope)
  const text = content.replaceAll('\0', '\ufffd')
  const id = memoryId(namespace, instance, scope, owner, text)
  return await db.transaction().execute(async (tx) => {
    if (scope === 'session') {
      // Held until the end, so that whoever deletes the conversation finds this memory or is found by it.
      const session = tx.selectFrom('sessions').select('id').where('id', '=', owner).forKeyShare()
      if (!(await session.executeTakeFirst())) throw new ClawError('gone', 'the session of this run was deleted')
    }
    const found = await tx
      .insertInto('memories')
      .values({
        ...{ id, namespace, instance, scope, owner, content: text, run, attempt, call, created_at: at },
        ...{ expires_at: expiresAt ?? null, embedding_model: null },
      })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ expires_at: expiresAt ?? null }))
      .returning(sql<boolean>`xmax <> 0`.as('known'))
      .executeTakeFirstOrThrow()
    if (vector && !found.known)
      await sql`update memories set embedding = ${asVector(vector.values)}, embedding_model = ${vector.model}
        where id = ${id}`.execute(tx)
    return { id, known: found.known }
  })
}

/** Removes one of the holder's memories; false where there is none of that id, or it is somebody else's. */
export async function forgetMemory({ db }: Store, { namespace, instance, owners }: MemoryHolder, id: string) {
  const held = Object.entries(owners) as [MemoryScope, string][]
  const { numDeletedRows } = await db
    .deleteFrom('memories')
    .where('id', '=', id)
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
    .where((where) => where.or(held.map(([scope, owner]) => where.and({ scope, owner }))))
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Removes what has expired, and returns how much that was. */
export async function expireMemories({ db }: Store, now: Date): Promise<number> {
  const { numDeletedRows } = await db.deleteFrom('memories').where('expires_at', '<=', now).executeTakeFirst()
  return Number(numDeletedRows)
}

export function notHeld(scope: MemoryScope): ClawError {
  return new ClawError('forbidden', `this run has no memories of scope ${scope}`)
}

function memoryId(...place: string[]): string {
  return createHash('sha256').update(JSON.stringify(place)).digest('hex').slice(0, 32)
}
