import { createHash } from 'node:crypto'
import * as z from 'zod'
import { taskFile } from '#core/ipc'
import type { Call } from './messages.ts'

/** What a run is told of its conversation: oldest first, and whether something older was left out. */
export const conversation = taskFile.pick({ history: true, historyCut: true })
export type Conversation = z.infer<typeof conversation>

/** A summary of what was said up to some turn. */
export const summary = z.object({
  /** uid of the run whose model made it. */
  run: z.string().max(64),
  model: z.string().max(256),
  content: z.string().max(64 * 1024),
  /** Whether something older is in no summary. */
  partial: z.boolean(),
})
export type Summary = z.infer<typeof summary>

/** What no summary covers yet, and what is to become of it. */
export const older = z.object({
  /** What stands before `history`, long messages abridged. */
  messages: conversation.shape.history,
  /** Whether something older still was too much. */
  partial: z.boolean(),
  /** A new summary covers all but so many of the last messages of `history`. */
  keep: z.int().min(0),
  /** uid of the run of the last turn that it covers. */
  through: z.string().max(64),
})
export type Older = z.infer<typeof older>

/**
 * The answer to `historyCall`: the newest turns word for word, the newest summary of what stands before them, and, where
 * that does not reach to them, what is to be summarised. `historyCut` says that the turns alone are not all.
 */
export const toldConversation = conversation.extend({ summary: summary.optional(), older: older.optional() })
export type ToldConversation = z.infer<typeof toldConversation>

/**
 * The call by which a run asks for what was said before in its conversation: the bridge records it before the agent
 * begins, whoever follows the record answers it into the inbox. No agent can make it: ids of agents have no colon.
 */
export const historyCall: Call = {
  id: 'bridge:history',
  tool: 'history',
  inputHash: createHash('sha256').digest('hex'),
}

/** The call by which a bridge has the model of its run summarise what no longer fits. */
export const summaryCall = { id: 'bridge:summary', tool: 'summary' } as const

/** What is recorded of a summary that was made; the conversation goes on with it from here. */
export const summaryOutput = z.object({
  text: z.string(),
  through: z.string(),
  /** How many messages it was made of. */
  messages: z.int().min(0),
  partial: z.boolean(),
})
export type SummaryOutput = z.infer<typeof summaryOutput>
