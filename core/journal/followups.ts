import * as z from 'zod'
import { takeFollowup } from '#core/ipc'
import { historyCall } from './conversation.ts'
import { embeddingCall } from './embedding.ts'
import type { Entry } from './messages.ts'

const taken = z.object({ number: z.int().min(1) })

/**
 * How many of the messages that were sent into a run it has taken up, by its record; they are taken in their order. One
 * whose answer is not recorded is not taken: the agent was not told that it has it.
 */
export function followupsTaken(entries: Iterable<Entry>): number {
  let most = 0
  for (const entry of entries) {
    if (entry.kind !== 'answered' || entry.tool !== takeFollowup || !entry.answer.ok) continue
    most = Math.max(most, taken.parse(entry.answer.output).number)
  }
  return most
}

/** Whether a tool counts among those that an agent used: not what the bridge asks for, nor taking what is said to a run. */
export function isToolOfAgent(tool: string): boolean {
  return tool !== historyCall.tool && tool !== embeddingCall.tool && tool !== takeFollowup
}
