import { ClawError } from '#core/errors'

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant'
  content: string
}

const preamble = 'This conversation goes on. What was said so far, oldest first, a JSON object a line:'
const request = 'What you are asked now:'

/**
 * A run for the messages of a client, which sends the whole conversation each time. Where the platform remembers it, only
 * the last message is new. Where nobody does, what came before it is told in the task; as JSON, so that no message can
 * pass for another. System messages replace the system prompt. Throws `invalid` where the last message is not a user's.
 */
export function taskOf(
  messages: readonly Message[],
  { remembered }: { remembered: boolean },
): { task: string; systemPrompt: string | undefined } {
  const said = messages.filter(({ role }) => role === 'user' || role === 'assistant')
  const instructions = messages.filter(({ role }) => role === 'system' || role === 'developer')
  const last = said.at(-1)
  if (last?.role !== 'user') {
    throw new ClawError('invalid', 'messages: the last one must be of the user', { field: 'messages' })
  }
  const before = said.slice(0, -1).map(({ role, content }) => JSON.stringify({ role, content }))
  const systemPrompt = instructions.map(({ content }) => content).join('\n\n')
  return {
    task:
      remembered || before.length === 0 ? last.content : [preamble, ...before, '', request, last.content].join('\n'),
    systemPrompt: systemPrompt === '' ? undefined : systemPrompt,
  }
}
