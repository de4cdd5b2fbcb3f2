/**
 * The database of one machine: PGlite, which is PostgreSQL as WebAssembly in this process, with pgvector, behind
 * PostgreSQL's own protocol. It has one session that all connections share, and answers who knows DATABASE_PASSWORD: every
 * user of the machine reaches its address. `database --listen HOST:PORT --data DIR`.
 */
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { createLogger, onShutdown } from '#core/telemetry'
import { serveOneSession } from './one-session.ts'

/** Connections; each waits its turn, since there is one session. */
const maxConnections = 64

const log = createLogger('database')
const { values } = parseArgs({ options: { listen: { type: 'string' }, data: { type: 'string' } } })
const at = /^(.+):(\d+)$/.exec(values.listen ?? '')
if (!at?.[1] || !values.data) {
  process.stderr.write('k8sclaw-database: give --listen HOST:PORT and --data DIR\n')
  process.exit(2)
}

const password = process.env.DATABASE_PASSWORD
if (!password) {
  process.stderr.write('k8sclaw-database: set DATABASE_PASSWORD to what its clients must know\n')
  process.exit(2)
}

if (!existsSync(values.data)) await initialise(values.data)
const db = await PGlite.create({ dataDir: values.data, extensions: { vector } })
const server = await serveOneSession({ db, host: at[1], port: Number(at[2]), password, maxConnections })
onShutdown(log, async () => {
  await server.close()
  await db.close()
})
log.info({ address: values.listen }, 'serving')

/**
 * Unpacks the empty database that lies beside the bundle, next to the folder, and renames it: one that exists is whole,
 * also after a kill halfway. Run from source there is none, and making one takes seconds.
 */
async function initialise(folder: string): Promise<void> {
  const unfinished = `${folder}.new`
  rmSync(unfinished, { recursive: true, force: true })
  const empty = join(import.meta.dirname, 'empty.tar')
  const loadDataDir = existsSync(empty) ? { loadDataDir: new Blob([readFileSync(empty)]) } : {}
  const fresh = await PGlite.create({ dataDir: unfinished, ...loadDataDir })
  await fresh.close()
  renameSync(unfinished, folder)
}
