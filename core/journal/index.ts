/**
 * The record of a run: every call before it is performed and its answer after, one outcome, and what is sent into the
 * run. It promises one writer (fenced by the expected last sequence of the subject), entries without gaps and exactly
 * one outcome; it refuses to be written by anyone who has not read it to its end.
 */
export {
  type Conversation,
  conversation,
  historyCall,
  type Older,
  type Summary,
  type SummaryOutput,
  summaryCall,
  summaryOutput,
  type ToldConversation,
  toldConversation,
} from './conversation.ts'
export { type Cursor, parseCursor } from './cursor.ts'
export {
  decodeVector,
  type EmbeddedMemories,
  embeddedAtOnce,
  embeddedMemories,
  embeddingCall,
  encodeVector,
  type Meaning,
  meaning,
  type Unembedded,
} from './embedding.ts'
export { type FollowOptions, RunFeeds, type RunFeedsOptions } from './feeds.ts'
export { followupsTaken, isToolOfAgent } from './followups.ts'
export { type InboxMessage, receiveIn, sendIn } from './inbox.ts'
export { type EntryParts, type Journal, openJournal } from './journal.ts'
export { type LiveMessage, liveMessage } from './live-message.ts'
export {
  type Answer,
  type AnsweredEntry,
  type Call,
  type CalledEntry,
  type Entry,
  entry,
  type FollowupMessage,
  type InMessage,
  type NotedEntry,
  type Outcome,
  type TaskMessage,
  type UsageMessage,
  type Verdict,
} from './messages.ts'
export { type FollowOutcomes, followOutcomes, writeOutcome } from './outcome.ts'
export { publishLive, publishUsage } from './preview.ts'
export type { RunEvent, StatusPiece, TextPiece } from './projection.ts'
export { type RunRecord, readOutcome, readRun } from './record.ts'
