import { createHash } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import type { Store } from './store.ts'

/** The vectors of one model, which alone can be compared with each other. */
export interface VectorSpace {
  /** Name of the model, with its version where it has one. */
  model: string
  /** At most 2,000, which is what the index takes. */
  dimensions: number
}

/** What a model made of a text. */
export interface MemoryVector extends VectorSpace {
  values: readonly number[]
}

/** Keeps two replicas that begin together from altering the table at once; any number that nobody else uses. */
const lockKey = 5_107_221_939
const indexPrefix = 'memories_by_meaning_'

/**
 * Makes room for vectors of this model beside the memories, with an index of their own. False where the server has no
 * pgvector of 0.8 or later, without which an index cannot be searched for one tenant: memories are then found by their
 * words. Asking again changes nothing, so a server that is given pgvector later has vectors from the next start on.
 */
export async function prepareVectors({ db }: Store, { model, dimensions }: VectorSpace): Promise<boolean> {
  return await db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(${lockKey})`.execute(tx)
    const { rows } = await sql<{ installed: boolean }>`
      select installed_version is not null as installed from pg_available_extensions
      where name = 'vector'
        and string_to_array(coalesce(installed_version, default_version), '.')::int[] >= array[0, 8]`.execute(tx)
    const [extension] = rows
    if (!extension) return false
    if (!extension.installed) await sql`create extension vector`.execute(tx)
    await sql`alter table memories add column if not exists embedding vector`.execute(tx)
    const index = `${indexPrefix}${createHash('sha256')
      .update(JSON.stringify([model, dimensions]))
      .digest('hex')
      .slice(0, 16)}`
    await sql`create index if not exists ${sql.id(index)} on memories
      using hnsw (${vectorOf({ dimensions })} vector_cosine_ops) where embedding_model = ${sql.lit(model)}`.execute(tx)
    const others = await sql<{ name: string }>`
      select indexname as name from pg_indexes where schemaname = current_schema() and tablename = 'memories'
        and starts_with(indexname, ${indexPrefix}) and indexname <> ${index}`.execute(tx)
    for (const { name } of others.rows) await sql`drop index ${sql.id(name)}`.execute(tx)
    return true
  })
}

/** Memories that have no vector of this model, the newest first. */
export async function withoutVector({ db }: Store, { model }: VectorSpace, limit: number) {
  return await db
    .selectFrom('memories')
    .select(['id', 'content'])
    .where('embedding_model', 'is distinct from', model)
    .orderBy('created_at', 'desc')
    .limit(limit)
    .execute()
}

/** Adds vectors to memories by id; one that was forgotten meanwhile stays so. */
export async function addVectors({ db }: Store, vectors: readonly { id: string; vector: MemoryVector }[]) {
  await db.transaction().execute(async (tx) => {
    for (const { id, vector } of vectors)
      await sql`update memories set embedding = ${asVector(vector.values)}, embedding_model = ${vector.model}
        where id = ${id}`.execute(tx)
  })
}

/** The vector of a row, of the dimensions that its index has. */
export function vectorOf({ dimensions }: Pick<VectorSpace, 'dimensions'>): RawBuilder<unknown> {
  return sql`(embedding::vector(${sql.lit(dimensions)}))`
}

/** Numbers as pgvector reads them. */
export function asVector(values: readonly number[]): RawBuilder<unknown> {
  return sql`${`[${values.join(',')}]`}::vector`
}
