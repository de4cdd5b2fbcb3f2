import { closeSync, openSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type Change, Entry } from './entry.ts'

interface Row {
  id: number
  resource: string
  namespace: string
  name: string
  deleted: number
  object: string
}

/**
 * The log on disk: one row a change, whose id is the resourceVersion. `synchronous=FULL` makes each commit wait for the
 * disk, so what was acknowledged survives a crash of the process or of the machine. The lock is exclusive: a second
 * server on the same file fails at once, and the lock dies with its process.
 */
export class Database {
  readonly #db: DatabaseSync
  readonly #insert: StatementSync
  readonly #delete: StatementSync
  readonly #setHorizon: StatementSync

  constructor(file: string) {
    // The log holds Secrets; SQLite gives its own files the mode of this one.
    closeSync(openSync(file, 'a', 0o600))
    this.#db = new DatabaseSync(file)
    this.#db.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS change (
        id INTEGER PRIMARY KEY,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        deleted INTEGER NOT NULL,
        object TEXT NOT NULL
      ) STRICT;
      CREATE TABLE IF NOT EXISTS horizon (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
      INSERT OR IGNORE INTO horizon VALUES (1, 0);
    `)
    this.#insert = this.#db.prepare('INSERT INTO change VALUES (?, ?, ?, ?, ?, ?)')
    this.#delete = this.#db.prepare('DELETE FROM change WHERE id = ?')
    this.#setHorizon = this.#db.prepare('UPDATE horizon SET revision = ?')
  }

  /** Changes up to here may be missing from the log, other than those that are still the current state. */
  horizon(): number {
    return Number(this.#db.prepare('SELECT revision FROM horizon').get()?.revision ?? 0)
  }

  *load(): Generator<{ entry: Entry; deleted: boolean }> {
    for (const raw of this.#db.prepare('SELECT * FROM change ORDER BY id').iterate()) {
      const row = raw as unknown as Row
      yield { entry: new Entry(row, row.id, row.object), deleted: row.deleted === 1 }
    }
  }

  /** All or nothing, and on disk when it returns. */
  commit(changes: Change[], obsolete: number[], horizon: number): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      for (const { type, entry } of changes) {
        const { revision, resource, namespace, name, json } = entry
        this.#insert.run(revision, resource, namespace, name, type === 'DELETED' ? 1 : 0, json)
      }
      for (const id of obsolete) this.#delete.run(id)
      if (obsolete.length > 0) this.#setHorizon.run(horizon)
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.#db.close()
  }
}
