import { ApiError } from '../api-error.ts'
import type { KubeObject } from '../types.ts'
import { Collections } from './collections.ts'
import { Database } from './database.ts'
import { type Change, Entry, type EntryKey } from './entry.ts'
import { History, type HistoryLimits } from './history.ts'

/** What a write sees and does. It sees the writes before it, even those that are not on disk yet. */
export interface Transaction {
  get(key: EntryKey): Entry | undefined
  list(resource: string, namespace?: string): Entry[]
  /** Stores the object under a new revision; the caller gives the object away. */
  put(key: EntryKey, object: KubeObject): Entry
  remove(key: EntryKey): Entry
}

interface Pending {
  run(): void
  resolve(): void
  reject(error: unknown): void
}

export interface StoreOptions {
  file: string
  history?: HistoryLimits
}

const defaultHistory: HistoryLimits = { changes: 10_000, bytes: 64 * 1024 * 1024 }

export class Store {
  readonly #database: Database
  readonly #state = new Collections()
  readonly #history: History
  readonly #listeners = new Set<(change: Change) => void>()
  #revision = 0
  #queue: Pending[] = []
  #batch: Change[] = []
  /** Rows to delete with the next commit. */
  #obsolete: number[] = []
  #closed = false

  constructor(options: StoreOptions) {
    this.#database = new Database(options.file)
    const horizon = this.#database.horizon()
    this.#history = new History(options.history ?? defaultHistory, horizon)
    this.#revision = horizon
    for (const { entry, deleted } of this.#database.load()) {
      const previous = this.#state.get(entry)
      const change: Change = { type: deleted ? 'DELETED' : previous ? 'MODIFIED' : 'ADDED', entry, previous }
      this.#apply(change)
      if (entry.revision > horizon) this.#remember(change)
      this.#revision = entry.revision
    }
  }

  /** The revision of the newest change. */
  get revision(): number {
    return this.#revision
  }

  get(key: EntryKey): Entry | undefined {
    return this.#state.get(key)
  }

  list(resource: string, namespace?: string): Entry[] {
    return this.#state.list(resource, namespace)
  }

  resources(): string[] {
    return this.#state.resources()
  }

  all(): Iterable<Entry> {
    return this.#state.all()
  }

  /** Changes after `revision`; undefined when that is longer ago than the history reaches. */
  since(revision: number): Change[] | undefined {
    return this.#history.since(revision)
  }

  /** Calls `listener` for each change from now on, in order, after it is on disk. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Runs `work` in the next batch. When `work` throws, nothing of it happens, and only its own caller hears of it. */
  write<T>(work: (transaction: Transaction) => T): Promise<T> {
    if (this.#closed) return Promise.reject(new ApiError(503, 'ServiceUnavailable', 'the server is shutting down'))
    return new Promise<T>((resolve, reject) => {
      let result: { value: T } | undefined
      const run = (): void => {
        result = { value: work(this.#transaction) }
      }
      this.#queue.push({ run, reject, resolve: () => result && resolve(result.value) })
      if (this.#queue.length === 1) setImmediate(() => this.#flush())
    })
  }

  close(): void {
    this.#flush()
    this.#closed = true
    this.#database.close()
  }

  readonly #transaction: Transaction = {
    get: (key) => this.#state.get(key),
    list: (resource, namespace) => this.#state.list(resource, namespace),
    put: (key, object) => {
      const previous = this.#state.get(key)
      const entry = this.#nextEntry(key, object)
      this.#record({ type: previous ? 'MODIFIED' : 'ADDED', entry, previous })
      return entry
    },
    remove: (key) => {
      const previous = this.#state.get(key)
      if (!previous) throw new Error(`no ${key.resource} ${key.namespace}/${key.name} to remove`)
      const entry = this.#nextEntry(key, previous.object)
      this.#record({ type: 'DELETED', entry, previous })
      return entry
    },
  }

  #nextEntry(key: EntryKey, object: KubeObject): Entry {
    const revision = this.#revision + 1
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } }
    return new Entry(key, revision, JSON.stringify(stored), stored)
  }

  #record(change: Change): void {
    this.#revision = change.entry.revision
    this.#apply(change)
    this.#batch.push(change)
  }

  #apply(change: Change): void {
    if (change.type === 'DELETED') this.#state.delete(change.entry)
    else this.#state.set(change.entry)
  }

  #flush(): void {
    const queue = this.#queue
    this.#queue = []
    const done: Pending[] = []
    for (const pending of queue) {
      const before = this.#batch.length
      try {
        pending.run()
        done.push(pending)
      } catch (error) {
        this.#undo(this.#batch.splice(before))
        pending.reject(error)
      }
    }
    const batch = this.#batch
    this.#batch = []
    try {
      if (batch.length > 0) this.#commit(batch)
    } catch (error) {
      const message = `the database refused the write: ${String(error)}`
      for (const pending of done)
        pending.reject(new ApiError(500, 'InternalError', message, undefined, { cause: error }))
      return
    }
    for (const change of batch) for (const listener of this.#listeners) listener(change)
    for (const pending of done) pending.resolve()
  }
  /** Writes the batch to disk, or takes it back from memory. */
  #commit(batch: Change[]): void {
    try {
      this.#database.commit(batch, this.#obsolete, this.#history.horizon)
    } catch (error) {
      this.#undo(batch)
      throw error
    }
    this.#obsolete = []
    for (const change of batch) this.#remember(change)
  }

  #undo(changes: Change[]): void {
    for (const { entry, previous } of changes.toReversed()) {
      if (previous) this.#state.set(previous)
      else this.#state.delete(entry)
    }
    this.#revision -= changes.length
  }

  #remember(change: Change): void {
    this.#obsolete.push(...this.#history.push(change).flatMap(obsoleteRows))
  }
}

/** Once a change leaves the history, nobody needs what it replaced; nor, if it was a deletion, itself. */
function obsoleteRows(change: Change): number[] {
  const rows = change.previous ? [change.previous.revision] : []
  if (change.type === 'DELETED') rows.push(change.entry.revision)
  return rows
}
