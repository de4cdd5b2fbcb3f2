import { Kysely, PostgresDialect } from 'kysely'
import { Pool, types } from 'pg'
import type { Logger } from '#core/telemetry'
import type { Tables } from './tables.ts'

/** The database, and how to leave it. */
export interface Store {
  readonly db: Kysely<Tables>
  close(): Promise<void>
}

export interface StoreOptions {
  /** `postgres://user:password@host:port/database`; it is never logged. */
  url: string
  log: Logger
  /** Connections of this program; replicas times this stays below the server's limit. Default 8. */
  connections?: number
}

const int8 = 20
const connectWithinMs = 5_000
/** No question of ours takes this long; one that does would hold others up. */
const statementWithinMs = 30_000

/** Connects when first asked something, and again whenever the database comes back. */
export function openStore({ url, log, connections = 8 }: StoreOptions): Store {
  const pool = new Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: connectWithinMs,
    query_timeout: statementWithinMs,
    application_name: 'k8sclaw',
    types: { getTypeParser: (oid, format) => (oid === int8 ? Number : types.getTypeParser(oid, format)) },
  })
  // An idle connection that breaks is replaced by the next question; without a listener it would end the program.
  pool.on('error', (error) => log.debug({ error: error.message }, 'idle database connection lost'))
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return { db, close: () => db.destroy() }
}
