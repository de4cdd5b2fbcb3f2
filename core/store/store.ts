import { Kysely, PostgresDialect, type PostgresPool } from 'kysely'
import { Client, Pool, types } from 'pg'
import { ClawError } from '#core/errors'
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
/** No question of ours takes this long; the server ends one that does, which would hold others up. */
const statementWithinMs = 30_000
/** A server that is no longer there ends nothing: its connection is given up. */
const answerWithinMs = 2 * 60_000
/** A transaction of ours waits for nothing but the database. */
const idleInTransactionMs = 60_000

/** Connects when first asked something, and again whenever the database comes back; `unavailable` while it is away. */
export function openStore({ url, log, connections = 8 }: StoreOptions): Store {
  const pool = new Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: connectWithinMs,
    statement_timeout: statementWithinMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    query_timeout: answerWithinMs,
    keepAlive: true,
    application_name: 'k8sclaw',
    types: { getTypeParser: (oid, format) => (oid === int8 ? Number : types.getTypeParser(oid, format)) },
  })
  // A connection that breaks fails the question that is asked on it and is replaced by the next; between questions
  // nobody but these listeners is told, and without them it would end the program.
  const lost = (error: Error) => log.debug({ error: error.message }, 'database connection lost')
  pool.on('error', lost)
  pool.on('connect', (client) => client.on('error', lost))
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: reachable(pool) }) })
  return { db, close: () => db.destroy() }
}

/** The pool; that there is nobody to connect to is no fault of whoever asks, nor of ours. */
function reachable(pool: Pool): PostgresPool {
  return {
    Client,
    options: pool.options,
    end: () => pool.end(),
    connect: () =>
      pool.connect().catch((cause: unknown) => {
        throw new ClawError('unavailable', 'the database does not answer', { cause })
      }),
  }
}
