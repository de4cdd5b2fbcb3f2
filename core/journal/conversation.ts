import { createHash } from 'node:crypto'
import type * as z from 'zod'
import { taskFile } from '#core/ipc'
import type { Call } from './messages.ts'

/** The answer to `historyCall`: what was said before, oldest first, and whether something older was left out. */
export const conversation = taskFile.pick({ history: true, historyCut: true })
export type Conversation = z.infer<typeof conversation>

/**
 * The call by which a run asks for what was said before in its conversation: the bridge records it before the agent
 * begins, whoever follows the record answers it into the inbox. No agent can make it: ids of agents have no colon.
 */
export const historyCall: Call = {
  id: 'bridge:history',
  tool: 'history',
  inputHash: createHash('sha256').digest('hex'),
}
