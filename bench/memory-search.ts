import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { sql } from 'kysely'
import { Client } from 'pg'
import { type MemoryHolder, migrate, openStore, prepareVectors, type Store, searchMemories } from '#core/store'
import { createLogger } from '#core/telemetry'
import { serveOneSession } from '../programs/cli/standalone/one-session.ts'
import { startPostgres } from '../test/support/database.ts'
import { postgresWithVectors } from '../test/support/postgres-programs.ts'
import { type Bench, figure, timed } from './figures.ts'

/** Goal: 20 ms, p95. */
const goalMs = 20
const searches = 200
/** Of the searches, so many are compared with the exact order. */
const compared = 50
const k = 10
const space = { model: 'bench', dimensions: 512 }
const holder: MemoryHolder = { namespace: 'bench', instance: 'bot', owners: { instance: '' } }

/** Where it is measured: how to start it, how many entries it is given, and what becomes of it. */
interface Server {
  name: string
  entries: number
  start(): Promise<{ url: string; close(): Promise<void> }>
}

/**
 * memorySearch: the ten best memories of one instance, by the index, in a PostgreSQL with pgvector that has 100,000
 * entries; where there is none, in PGlite behind its socket, which has 5,000. Vectors lie around a thousand centres, as
 * texts have subjects; every tenth entry is of another instance. Held against the goal. How many there were, the p95 and
 * recall against the exact order are told beside it.
 */
export const memorySearch: Bench = {
  figures: ['memorySearch'],
  async take() {
    const { name, entries, start } = serverHere()
    const database = await start()
    const store = openStore({ url: database.url, log: createLogger('bench') })
    try {
      await migrate(store)
      if (!(await prepareVectors(store, space))) return { memorySearch: { skipped: `${name} has no pgvector` } }
      await fill(database.url, entries)
      const samples: number[] = []
      let shared = 0
      for (let i = 0; i < searches; i++) {
        const values = await somewhere(store)
        let found: string[] = []
        samples.push(await timed(async () => (found = await search(store, values))))
        if (i >= compared) continue
        const exact = await exactly(store, values)
        shared += found.filter((id) => exact.includes(id)).length
      }
      const p95 = samples.toSorted((a, b) => a - b)[Math.ceil(samples.length * 0.95) - 1] ?? 0
      process.stderr.write(
        `memorySearch: ${entries} entries in ${name}, p95 ${p95.toFixed(1)} ms, recall ${(shared / compared / k).toFixed(3)}\n`,
      )
      return { memorySearch: figure('ms', samples, goalMs) }
    } finally {
      await store.close()
      await database.close()
    }
  },
}

function serverHere(): Server {
  const programs = postgresWithVectors()
  if (programs) return { name: 'PostgreSQL', entries: 100_000, start: () => startPostgres(programs) }
  return {
    name: 'PGlite',
    entries: 5_000,
    async start() {
      const db = await PGlite.create({ extensions: { vector } })
      const server = await serveOneSession({ db, host: '127.0.0.1', port: 0, maxConnections: 8 })
      return {
        url: `postgres://postgres@127.0.0.1:${server.port}/postgres`,
        async close() {
          await server.close()
          await db.close()
        },
      }
    },
  }
}

/**
 * Entries as the server makes them up, the same in every run of the bench. The index is made again afterwards, which takes
 * a fraction of what adding to it one by one does.
 */
async function fill(url: string, entries: number): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ name: string; definition: string }>(
      `select indexname as name, indexdef as definition from pg_indexes where indexname = $1`,
      [`memories_meaning_${space.dimensions}`],
    )
    const [index] = rows
    if (!index) throw new Error('there is no index of vectors')
    await client.query(`drop index ${index.name}`)
    await client.query('select setseed(0.5)')
    await client.query(`create table centres as
      select i as id, (select array_agg(random() - 0.5) from generate_series(1, ${space.dimensions} + i * 0)) as at
      from generate_series(0, 999) i`)
    await client.query(
      `insert into memories (id, namespace, instance, scope, owner, content, run, attempt, call, created_at, embedding,
        embedding_model, embedding_dimensions)
      select 'm' || i, 'bench', case when i % 10 = 0 then 'other' else $1 end, 'instance', '', 'entry ' || i, 'r', 1, 'c', now(),
        (select array_agg(x + random() - 0.5)::real[]::vector from unnest(at) x), $2, $4
      from generate_series(1, $3::int) i join centres on id = (i * 7919) % 1000`,
      [holder.instance, space.model, entries, space.dimensions],
    )
    await client.query(`set maintenance_work_mem = '1GB'`)
    await client.query(index.definition)
    await client.query('vacuum analyze memories')
  } finally {
    await client.end()
  }
}

/** A question near to one of the centres, as an entry would be. */
async function somewhere({ db }: Store): Promise<number[]> {
  const { rows } = await sql<{ values: number[] }>`
    select (select array_agg(x + random() - 0.5) from unnest(at) x) as values from centres
    order by random() limit 1`.execute(db)
  return rows[0]?.values ?? []
}

async function search(store: Store, values: number[]): Promise<string[]> {
  // No entry has this word, so that the order is that of the vectors alone.
  const query = { text: 'zebra', vector: { ...space, values }, limit: k, now: new Date() }
  return (await searchMemories(store, holder, query)).map(({ id }) => id)
}

/** The same by looking at every vector. */
async function exactly({ db }: Store, values: number[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select id from memories
    where namespace = 'bench' and instance = ${holder.instance}
    order by embedding <=> ${`[${values.join(',')}]`}::vector limit ${k}`.execute(db)
  return rows.map(({ id }) => id)
}
