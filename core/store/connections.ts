import type { PostgresPool } from 'kysely'
import { Client, DatabaseError, type Pool, type PoolClient } from 'pg'
import { ClawError } from '#core/errors'

type Connected = Awaited<ReturnType<PostgresPool['connect']>>

/**
 * The connections of a pool, for those who wait so long for an answer and no longer. That there is nobody to connect to,
 * that a connection breaks under a question, or that a server takes it and falls silent, is no fault of whoever asks, nor
 * of ours: it is `unavailable`. The pool itself is ended by its owner.
 */
export function connectionsOf(pool: Pool, answerWithinMs: number): PostgresPool {
  return {
    Client,
    options: pool.options,
    end: async () => {},
    connect: () =>
      pool.connect().then(
        (client) => connected(client, answerWithinMs),
        (cause: unknown) => {
          throw unavailable('the database does not answer', cause)
        },
      ),
  }
}

/** A connection that broke is asked nothing more, not even to roll back, and does not go back to the others. */
function connected(client: PoolClient, answerWithinMs: number): Connected {
  let broken: ClawError | undefined
  async function query(text: string, values: readonly unknown[]) {
    if (broken) throw broken
    try {
      // pg knows a time for each question, which its types do not tell.
      const question = { text, values: [...values], query_timeout: answerWithinMs }
      return await client.query(question)
    } catch (error) {
      if (error instanceof TypeError) throw error
      if (error instanceof DatabaseError && !isOfServer(error)) throw error
      const away = unavailable('the database did not answer', error)
      if (!(error instanceof DatabaseError) || endsConnection(error)) broken = away
      throw away
    }
  }
  return {
    // Its other form takes a cursor, of which the dialect is given none.
    query: query as unknown as Connected['query'],
    release: (destroy) => client.release(destroy || broken !== undefined),
  }
}

function unavailable(what: string, cause: unknown): ClawError {
  return new ClawError('unavailable', what, { cause })
}

/**
 * Whether the server could not, rather than would not, by the class of the SQLSTATE: connection exception, transaction
 * rollback (a deadlock), insufficient resources, operator intervention (which ends what takes too long as well).
 */
function isOfServer({ code = '' }: DatabaseError): boolean {
  return /^(08|40|53|57)/.test(code)
}

/** It says so and hangs up: connection exception, shutdown, crash. */
function endsConnection({ code = '' }: DatabaseError): boolean {
  return /^(08|57P)/.test(code)
}
