import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { sql } from 'kysely'
import { type MemoryHolder, migrate, openStore, prepareVectors, type Store, searchMemories } from '#core/store'
import { createLogger } from '#core/telemetry'
import { serveOneSession } from '../programs/cli/standalone/one-session.ts'
import { type Bench, figure, timed } from './figures.ts'

/** Goal: 20 ms, p95. */
const goalMs = 20
/** How long entries are put in, each into the index: as many as that are searched. */
const fillMs = 60_000
const mostEntries = 100_000
const batch = 100
const searches = 200
const k = 10
const space = { model: 'bench', dimensions: 512 }
const holder: MemoryHolder = { namespace: 'bench', instance: 'bot', owners: { instance: '' } }

/**
 * memorySearch: the ten best memories of one instance in PGlite behind its socket, by the index, with as many entries as a
 * minute puts in. Vectors are drawn around a thousand centres, as texts have subjects; every tenth entry is of another
 * instance. Held against the goal. How many there were, and recall against the exact order, are told beside it.
 */
export const memorySearch: Bench = {
  figures: ['memorySearch'],
  async take() {
    const db = await PGlite.create({ extensions: { vector } })
    const server = await serveOneSession({ db, host: '127.0.0.1', port: 0, maxConnections: 8 })
    const url = `postgres://postgres@127.0.0.1:${server.port}/postgres`
    const store = openStore({ url, log: createLogger('bench') })
    try {
      await migrate(store)
      if (!(await prepareVectors(store, space))) return { memorySearch: { skipped: 'this PGlite has no pgvector' } }
      const draw = drawer()
      const entries = await fill(store, draw)
      const samples: number[] = []
      const exactSamples: number[] = []
      let shared = 0
      for (let i = 0; i < searches; i++) {
        const values = draw()
        let found: string[] = []
        let exact: string[] = []
        samples.push(await timed(async () => (found = await search(store, values))))
        exactSamples.push(await timed(async () => (exact = await exactly(store, values))))
        shared += found.filter((id) => exact.includes(id)).length
      }
      const byScan = figure('ms', exactSamples, goalMs)
      process.stderr.write(
        `memorySearch: ${entries} entries, recall ${(shared / searches / k).toFixed(3)}; without the index ${JSON.stringify(byScan)}\n`,
      )
      return { memorySearch: figure('ms', samples, goalMs) }
    } finally {
      await store.close()
      await server.close()
      await db.close()
    }
  },
}

/** Puts entries in for as long as there is time, and returns how many. */
async function fill({ db }: Store, draw: () => number[]): Promise<number> {
  const until = performance.now() + fillMs
  let entries = 0
  while (entries < mostEntries && performance.now() < until) {
    const rows = Array.from({ length: batch }, () => {
      const n = ++entries
      const instance = n % 10 === 0 ? 'other' : holder.instance
      return sql`(${`m${n}`}, 'bench', ${instance}, 'instance', '', ${`entry ${n}`}, 'r', 1, 'c', now(),
        ${`[${draw().join(',')}]`}::vector, ${space.model})`
    })
    await sql`insert into memories (id, namespace, instance, scope, owner, content, run, attempt, call, created_at,
      embedding, embedding_model) values ${sql.join(rows)}`.execute(db)
  }
  await sql`analyze memories`.execute(db)
  return entries
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

/** The same vectors in every run of the bench. */
function drawer(): () => number[] {
  let state = 1
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32 - 0.5
  }
  const centres = Array.from({ length: 1_000 }, () => Array.from({ length: space.dimensions }, random))
  return () => {
    const centre = centres[Math.floor((random() + 0.5) * centres.length)] ?? []
    return centre.map((value) => Number((value + random()).toFixed(4)))
  }
}
