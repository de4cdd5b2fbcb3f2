import { Kysely, PostgresDialect } from 'kysely'
import { Pool, types } from 'pg'
import type { Logger } from '#core/telemetry'
import { connectionsOf } from './connections.ts'
import type { Tables } from './tables.ts'

/** The database, and how to leave it. */
export interface Store {
  /** For what somebody waits for: a question that is not answered soon is `unavailable`. */
  readonly db: Kysely<Tables>
  /** The same for what nobody sits before, or what takes as long as there are rows. */
  readonly patient: Kysely<Tables>
  close(): Promise<void>
}

export interface StoreOptions {
  /** `postgres://user:password@host:port/database`; it is never logged. */
  url: string
  log: Logger
  /** Connections of this program; replicas times this stays below the server's limit. Default 8. */
  connections?: number
  /** How long the server may be silent to a question of `db`, in milliseconds. Default 10 s. */
  answerWithinMs?: number
}

const int8 = 20
const connectWithinMs = 5_000
/** No question of ours takes this long; the server ends one that does, which would hold others up. */
const statementWithinMs = 30_000
/** A server that is no longer there, or stands still, ends nothing: its connection is given up. */
const patience = { usualMs: 10_000, longMs: 2 * 60_000 }
/** A transaction of ours waits for nothing but the database. */
const idleInTransactionMs = 60_000

/** Connects when first asked something, and again whenever the database comes back; `unavailable` while it is away. */
export function openStore({ url, log, connections = 8, answerWithinMs = patience.usualMs }: StoreOptions): Store {
  const pool = new Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: connectWithinMs,
    statement_timeout: statementWithinMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    keepAlive: true,
    application_name: 'k8sclaw',
    types: { getTypeParser: (oid, format) => (oid === int8 ? Number : types.getTypeParser(oid, format)) },
  })
  // A connection that breaks fails the question that is asked on it and is replaced by the next; between questions
  // nobody but these listeners is told, and without them it would end the program.
  const lost = (error: Error) => log.debug({ error: error.message }, 'database connection lost')
  pool.on('error', lost)
  pool.on('connect', (client) => client.on('error', lost))
  const open = (withinMs: number) =>
    new Kysely<Tables>({ dialect: new PostgresDialect({ pool: connectionsOf(pool, withinMs) }) })
  const [db, patient] = [open(answerWithinMs), open(patience.longMs)]
  return {
    db,
    patient,
    async close() {
      await Promise.all([db.destroy(), patient.destroy()])
      await pool.end()
    },
  }
}
