import { type Kysely, sql, type Transaction } from 'kysely'
import { ClawError } from '#core/errors'
import { type Migration, migrations as ours } from './migrations.generated.ts'
import type { Tables } from './tables.ts'

/** Key of the advisory lock under which one replica migrates while the others wait; any number that nobody else uses. */
const lockKey = 5_107_221_938

/**
 * Brings the database to the version of this program, forward only: each missing migration in its order, all in one
 * transaction under an advisory lock, so that replicas which start together apply each once and a failure leaves what
 * was. Returns the names of those applied. Throws `unsupported` for a database that a newer version has been at.
 */
export async function migrate(
  { patient: db }: { patient: Kysely<Tables> },
  migrations: readonly Migration[] = ours,
): Promise<string[]> {
  return await db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(${lockKey})`.execute(tx)
    await sql`create table if not exists migrations (
      name text primary key, applied_at timestamptz not null default now()
    )`.execute(tx)
    const applied = new Set((await tx.selectFrom('migrations').select('name').execute()).map(({ name }) => name))
    const unknown = [...applied].filter((name) => !migrations.some((migration) => migration.name === name)).sort()
    if (unknown.length > 0)
      throw new ClawError(
        'unsupported',
        `the database has migrations that this version does not know: ${unknown.join(', ')}`,
      )
    const missing = migrations.filter(({ name }) => !applied.has(name))
    for (const migration of missing) await apply(tx, migration)
    return missing.map(({ name }) => name)
  })
}

async function apply(tx: Transaction<Tables>, { name, statements }: Migration): Promise<void> {
  try {
    await sql.raw(statements).execute(tx)
  } catch (cause) {
    throw new ClawError('internal', `migration ${name} failed`, { cause })
  }
  await tx.insertInto('migrations').values({ name }).execute()
}
