/**
 * Where objects live: all of them in memory, and every change in one SQLite log. A write is acknowledged, and watchers
 * hear of it, only once it is on disk; writes that arrive together share one transaction.
 */
export { compareText } from './collections.ts'
export { type Change, Entry, type EntryKey } from './entry.ts'
export { Store, type Transaction } from './store.ts'
