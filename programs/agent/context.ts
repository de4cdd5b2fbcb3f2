import type { ModelMessage } from 'ai'

/** Characters of one tool's output that the model is shown. */
export const maxOutputCharacters = 32_000
/** Characters of all messages together: about 100,000 tokens, which the common models hold. */
export const maxContextCharacters = 400_000

/** The beginning and the end of a long text, with a note between: errors are usually at the end. */
export function cut(text: string, max: number = maxOutputCharacters): string {
  if (text.length <= max) return text
  const head = Math.ceil(max * 0.6)
  const tail = Math.floor(max * 0.4)
  const left = text.length - head - tail
  return `${text.slice(0, head)}\n[... ${left} characters left out ...]\n${text.slice(-tail)}`.toWellFormed()
}

const gone = '[the output of this earlier call was left out to keep the conversation short]'

/**
 * Messages that fit into `max` characters: the oldest tool outputs are replaced by a note until they do. Texts stay, and
 * so does what the model has not seen yet, which is what stands behind its last words.
 */
export function fitContext(
  messages: readonly ModelMessage[],
  max: number = maxContextCharacters,
): { messages: ModelMessage[]; leftOut: number } {
  let size = messages.reduce((sum, message) => sum + JSON.stringify(message.content).length, 0)
  let leftOut = 0
  const unseen = Math.min(messages.findLastIndex(({ role }) => role === 'assistant') + 1, messages.length - 1)
  const fitted = messages.map((message, i): ModelMessage => {
    if (size <= max || message.role !== 'tool' || i >= unseen) return message
    const content = message.content.map((part) => {
      if (size <= max || part.type !== 'tool-result') return part
      const smaller = { ...part, output: { type: 'text' as const, value: gone } }
      const saved = JSON.stringify(part).length - JSON.stringify(smaller).length
      if (saved <= 0) return part
      size -= saved
      leftOut++
      return smaller
    })
    return { ...message, content }
  })
  return { messages: fitted, leftOut }
}
