/**
 * The database: what outlives pods, AgentRuns and the bus. It keeps the record of every run, and makes from it sessions,
 * transcripts, run records and usage. It promises that an entry is taken once however often it comes, that how far the
 * bus was read stands in the transaction that wrote it, and that every question names its tenant. It refuses to be
 * written by anything but the record, what people decide about their conversations, and what runs ask to remember.
 */
export { alone } from './alone.ts'
export type { Fitted, HistoryMessage } from './fit.ts'
export { type ForkRequest, forkSession } from './forks.ts'
export { historyOf } from './history.ts'
export {
  deleteMemories,
  deleteMemory,
  findMemory,
  listMemories,
  type MemoryListQuery,
  type MemoryPlace,
  type MemoryRow,
} from './kept-memories.ts'
export {
  expireMemories,
  forgetMemory,
  memoryLimits,
  type NewMemory,
  storeMemory,
} from './memories.ts'
export { type HeldBy, type MemoryHolder, type MemoryScope, memoryHolder, type RunPlace } from './memory-holder.ts'
export { type FoundMemory, type MemoryQuery, searchMemories, searchPlace } from './memory-search.ts'
export { chooseSpace, hasOwnSpace } from './memory-spaces.ts'
export {
  addVectors,
  type MemoryVector,
  prepareVectors,
  unembedded,
  type VectorSpace,
  withoutVector,
} from './memory-vectors.ts'
export { migrate } from './migrate.ts'
export { openCalls } from './open-calls.ts'
export { type Projected, project, readThrough, type SetAside } from './project.ts'
export { rebuild } from './rebuild.ts'
export { type RecordEntry, recordEntry } from './record-entry.ts'
export { type Expiry, expire } from './retention.ts'
export { listRuns, type RunQuery, type RunRow } from './runs.ts'
export {
  type After,
  deleteSession,
  findSession,
  listSessions,
  resetSession,
  type SessionAddress,
  type SessionQuery,
  type SessionRow,
  showSession,
  type Transcript,
} from './sessions.ts'
export { type AsidePlace, listSetAside } from './set-aside.ts'
export { openStore, type Store } from './store.ts'
export { type TranscriptPlace, type TranscriptRow, transcriptOf } from './transcript.ts'
export { type UsageQuery, type UsageRow, usageOf } from './usage.ts'
