import { type RawBuilder, type SqlBool, sql, type Transaction } from 'kysely'
import { heldOf, type MemoryHolder } from './memory-holder.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

/** The vectors of one model and length, which alone can be compared with each other. */
export interface VectorSpace {
  /** Name of the model, with its version where it has one. */
  model: string
  /** At most 4,000, which is what an index takes. */
  dimensions: number
}

/** What a model made of a text. */
export interface MemoryVector extends VectorSpace {
  values: readonly number[]
}

/** Keeps two replicas that begin together from altering the table at once; any number that nobody else uses. */
const lockKey = 5_107_221_939
const indexPrefix = 'memories_meaning_'
/** Each model had one of its own once. */
const formerPrefix = 'memories_by_meaning_'

/**
 * Lengths that have an index as soon as there is such a vector: those of the models that are in use. Tenants choose their
 * models, and every index is one more that each new memory is held to; vectors of another length are compared one by one.
 */
const usualDimensions: readonly number[] = [256, 384, 512, 768, 1024, 1536, 2048, 2560, 3072, 4000]
/** Above it an index takes numbers of half the precision only. */
const maxWholePrecision = 2000

/**
 * Makes room for vectors beside the memories, with an index for this length where it is a usual one or `own`, the
 * platform's. False where the server has no pgvector of 0.8 or later, without which an index cannot be searched for one
 * tenant: memories are then found by their words. Asking again changes nothing, so a server that is given pgvector later
 * has vectors from the next start on.
 */
export async function prepareVectors(
  { patient: db }: Store,
  { dimensions }: Pick<VectorSpace, 'dimensions'>,
  own = false,
): Promise<boolean> {
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
    const index = `${indexPrefix}${dimensions}`
    const there = await indexesFrom(tx, indexPrefix)
    if ((own || usualDimensions.includes(dimensions)) && !there.includes(index)) {
      const operators = sql.raw(dimensions > maxWholePrecision ? 'halfvec_cosine_ops' : 'vector_cosine_ops')
      await sql`create index ${sql.id(index)} on memories
        using hnsw (${vectorOf({ dimensions })} ${operators}) where ${ofLength({ dimensions })}`.execute(tx)
    }
    for (const name of await indexesFrom(tx, formerPrefix)) await sql`drop index ${sql.id(name)}`.execute(tx)
    return true
  })
}

async function indexesFrom(tx: Transaction<Tables>, prefix: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select indexname as name from pg_indexes where schemaname = current_schema() and tablename = 'memories'
      and starts_with(indexname, ${prefix})`.execute(tx)
  return rows.map(({ name }) => name)
}

/** Memories that the model of the platform is to make vectors of, and has not, the newest first. */
export async function withoutVector({ patient: db }: Store, space: VectorSpace, limit: number) {
  return await db
    .selectFrom('memories')
    .select(['id', 'content'])
    .where(notIn(space))
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('memory_spaces')
            .select('memory_spaces.model')
            .whereRef('memory_spaces.namespace', '=', 'memories.namespace')
            .whereRef('memory_spaces.instance', '=', 'memories.instance')
            .where('memory_spaces.model', 'is not', null),
        ),
      ),
    )
    .orderBy('created_at', 'desc')
    .limit(limit)
    .execute()
}

/** Memories of the holder that have no vector of its own model, the newest first. */
export async function unembedded({ db }: Store, holder: MemoryHolder, limit: number, now: Date) {
  if (!holder.space) return []
  return await db
    .selectFrom('memories')
    .select(['id', 'content'])
    .where(heldOf(holder))
    .where(notIn(holder.space))
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', now)]))
    .orderBy('created_at', 'desc')
    .limit(limit)
    .execute()
}

/**
 * Adds vectors to memories by id; one that was forgotten meanwhile stays so. With a holder only to what is the holder's:
 * the ids are then what a run says.
 */
export async function addVectors(
  { db }: Store,
  vectors: readonly { id: string; vector: MemoryVector }[],
  holder?: MemoryHolder,
): Promise<void> {
  const held = holder ? heldOf(holder) : sql<SqlBool>`true`
  await db.transaction().execute(async (tx) => {
    // In one order, so that two who add to the same do not wait for each other.
    for (const { id, vector } of vectors.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
      await setVector(vector, sql`id = ${id} and ${held}`).execute(tx)
  })
}

/** The statement that gives this vector to the memories of a condition. */
export function setVector(vector: MemoryVector, where: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`update memories set embedding = ${`[${vector.values.join(',')}]`}::vector,
    embedding_model = ${vector.model}, embedding_dimensions = ${vector.dimensions} where ${where}`
}

/** The vector of a row, as its index has it. */
export function vectorOf({ dimensions }: Pick<VectorSpace, 'dimensions'>): RawBuilder<unknown> {
  return sql`(embedding::${typeOf(dimensions)})`
}

/** A condition: rows whose vectors have this length. It is told as the index was, so that the server sees they agree. */
export function ofLength({ dimensions }: Pick<VectorSpace, 'dimensions'>): RawBuilder<SqlBool> {
  return sql<SqlBool>`embedding_dimensions = ${sql.lit(dimensions)}`
}

/** A vector to compare rows with. */
export function asVector({ dimensions, values }: MemoryVector): RawBuilder<unknown> {
  return sql`${`[${values.join(',')}]`}::${typeOf(dimensions)}`
}

function notIn({ model, dimensions }: VectorSpace): RawBuilder<SqlBool> {
  return sql<SqlBool>`(embedding_model is distinct from ${model} or embedding_dimensions is distinct from ${dimensions})`
}

function typeOf(dimensions: number): RawBuilder<unknown> {
  return sql.raw(`${dimensions > maxWholePrecision ? 'halfvec' : 'vector'}(${Math.trunc(dimensions)})`)
}
