import type { Outcome } from '#core/journal'

/** What every object of one answer repeats. */
export interface AnswerHead {
  id: string
  /** Seconds since 1970. */
  created: number
  model: string
}

/** The whole answer, `chat.completion`: the run's result. */
export function completion(head: AnswerHead, outcome: Outcome) {
  const message = { role: 'assistant', content: outcome.result ?? '', refusal: null }
  return {
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
    usage: usageOf(outcome),
  }
}

export interface Delta {
  role?: 'assistant'
  content?: string
}

/** One piece of an answer that streams. With `withUsage` each says that the usage is yet to come. */
export function chunk(head: AnswerHead, delta: Delta, { ended = false, withUsage = false } = {}) {
  const choice = { index: 0, delta, logprobs: null, finish_reason: ended ? 'stop' : null }
  return { ...head, object: 'chat.completion.chunk', choices: [choice], ...(withUsage && { usage: null }) }
}

/** The last piece for those who asked for it. */
export function usageChunk(head: AnswerHead, outcome: Outcome) {
  return { ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf(outcome) }
}

/** All model calls of the run together. */
function usageOf({ usage: { inputTokens, outputTokens } }: Outcome) {
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens }
}
