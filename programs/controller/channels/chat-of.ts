import type { TaskMessage } from '#core/journal'
import type { AgentRun, ClawInstance } from '#core/kinds'
import { limitsOf } from './chat-files.ts'
import { turnOf } from './turn.ts'

/** The chat that a run answers, as its bridge is told of it; undefined where none does any more. */
export function chatOf(run: AgentRun, instance: ClawInstance | undefined): TaskMessage['chat'] {
  const turn = turnOf(run)
  const channel = instance?.spec.channels?.find(({ name }) => name === turn?.channel)
  if (!turn || !channel) return undefined
  const brings = (turn.files ?? []).map(({ name }) => name)
  return { channel: channel.name, files: limitsOf(channel), brings }
}
