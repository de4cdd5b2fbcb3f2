import type { ModelMessage } from 'ai'
import type { FollowupFile, TaskFile } from '#core/ipc'

const defaultPrompt =
  'You are an agent that does one task and then ends. Do the task with the tools you have, check the result, and answer with what the person who asked needs to know.'

/** What the model is told before the conversation. */
export function instructionsFor(task: TaskFile): string {
  const parts = [task.systemPrompt ?? defaultPrompt]
  if (task.tools.length === 0) parts.push('There are no tools in this run: answer from what you know.')
  if (task.historyCut) parts.push('The beginning of this conversation was too long and has been left out.')
  if (task.skills.length > 0) {
    const list = task.skills.map(({ name, description }) => `- ${name}: ${description}`).join('\n')
    parts.push(`Skills that may help; read one with read_skill before you do what it is about:\n${list}`)
  }
  return parts.join('\n\n')
}

/** The conversation so far, ending with the task. */
export function messagesFor(task: TaskFile): ModelMessage[] {
  return [...task.history, { role: 'user', content: task.task }]
}

/** What was said while the work goes on. */
export function messageFor({ text }: FollowupFile): ModelMessage {
  return { role: 'user', content: text }
}
