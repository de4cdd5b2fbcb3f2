import { type RawBuilder, sql, type Transaction } from 'kysely'
import { type MemoryPlace, type MemoryRow, within } from './kept-memories.ts'
import { heldOf, type MemoryHolder, type MemoryScope } from './memory-holder.ts'
import { asVector, type MemoryVector, ofLength, vectorOf } from './memory-vectors.ts'
import type { Store } from './store.ts'
import type { Tables } from './tables.ts'

export interface MemoryQuery {
  text: string
  /** Of the text; without it memories are found by their words alone. */
  vector?: MemoryVector | undefined
  /** Only there; everywhere the holder reaches where it is left out. */
  scope?: MemoryScope | undefined
  limit: number
  now: Date
}

export interface FoundMemory extends MemoryRow {
  /** Reciprocal rank fusion (Cormack et al. 2009): comparable within one search only. */
  score: number
}

/** The constant of reciprocal rank fusion, as its authors chose it: how fast a rank loses its weight. */
const fusion = 60
/** Of each ranking so many are fused. */
const candidates = 40

/**
 * The memories that the holder may see and that fit the query best, best first: those next in meaning and those with its
 * words, fused by rank. Throws `forbidden` for a scope that the holder has not.
 */
export async function searchMemories(store: Store, holder: MemoryHolder, query: MemoryQuery): Promise<FoundMemory[]> {
  return await search(store, heldOf(holder, query.scope), query)
}

/** The same for people, among the memories of a place. */
export async function searchPlace(store: Store, place: MemoryPlace, query: MemoryQuery): Promise<FoundMemory[]> {
  return await search(store, within(place), query)
}

async function search(store: Store, among: RawBuilder<unknown>, query: MemoryQuery): Promise<FoundMemory[]> {
  return await store.db.transaction().execute(async (tx) => {
    await searchWidely(tx, query)
    const { rows } = await searchOf(among, query).execute(tx)
    return rows
  })
}

/** How the server would search, as EXPLAIN says it. */
export async function explainSearch(store: Store, holder: MemoryHolder, query: MemoryQuery): Promise<string> {
  return await store.db.transaction().execute(async (tx) => {
    await searchWidely(tx, query)
    const { rows } = await sql<Record<string, string>>`explain ${searchOf(heldOf(holder, query.scope), query)}`.execute(
      tx,
    )
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  })
}

/**
 * The index knows nothing of tenants: it is read on until enough of what it gives is the holder's, and looks at more
 * than its default, for recall.
 */
async function searchWidely(tx: Transaction<Tables>, { vector }: MemoryQuery): Promise<void> {
  if (!vector) return
  await sql`set local hnsw.ef_search = 200`.execute(tx)
  await sql`set local hnsw.iterative_scan = strict_order`.execute(tx)
}

function searchOf(among: RawBuilder<unknown>, { text, vector, limit, now }: MemoryQuery): RawBuilder<FoundMemory> {
  const held = sql`${among} and (expires_at is null or expires_at > ${now})`
  const byMeaning = vector
    ? sql`select id, row_number() over (order by distance) as rank from (
        select id, ${vectorOf(vector)} <=> ${asVector(vector)} as distance from memories
        where ${held} and embedding_model = ${vector.model} and ${ofLength(vector)}
        order by ${vectorOf(vector)} <=> ${asVector(vector)} limit ${sql.lit(candidates)}
      ) as nearest`
    : sql`select id, 0::bigint as rank from memories where false`
  return sql<FoundMemory>`
    with asked as (
      -- Any of the words, where plainto_tsquery wants all of them: a question has more than its answer.
      select replace(plainto_tsquery('english', ${storable(text)})::text, ' & ', ' | ')::tsquery as words
    ), by_meaning as (${byMeaning}), by_words as (
      select id, rank() over (order by fit desc) as rank from (
        select id, ts_rank(memories.words, asked.words) as fit from memories, asked
        where ${held} and memories.words @@ asked.words
        order by fit desc, id limit ${sql.lit(candidates)}
      ) as fitting
    ), fused as (
      select id, coalesce(1.0 / (${sql.lit(fusion)} + m.rank), 0) + coalesce(1.0 / (${sql.lit(fusion)} + w.rank), 0) as score
      from by_meaning m full join by_words w using (id)
    )
    select id, namespace, instance, scope, owner, content, run, call, created_at as "createdAt",
      expires_at as "expiresAt", score::float8 as score
    from fused join memories using (id) order by fused.score desc, created_at desc, id limit ${limit}`
}

function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd')
}
