import * as z from 'zod'
import { parseOr } from './lenient.ts'
import type { SseEvent } from './sse.ts'
import type { Reading } from './wire.ts'

const tokens = z.int().min(0).nullish().catch(undefined)
const usage = z
  .object({
    input_tokens: tokens,
    cache_creation_input_tokens: tokens,
    cache_read_input_tokens: tokens,
    output_tokens: tokens,
  })
  .nullish()
  .catch(undefined)

const event = z.object({
  type: z.string(),
  message: z.object({ usage }).nullish().catch(undefined),
  delta: z.object({ type: z.string().nullish(), text: z.string().nullish() }).nullish().catch(undefined),
  usage,
})

const message = z.object({
  content: z
    .array(z.object({ type: z.string(), text: z.string().nullish() }))
    .nullish()
    .catch(undefined),
  usage,
})

/**
 * `message_start` tells the input and a first count of the output; each `message_delta` tells the output so far, and
 * with some versions the input again.
 */
export function readAnthropicEvent(sse: SseEvent): Reading {
  const read = parseOr(event, sse.data)
  if (read?.type === 'message_start') return { text: '', ...counts(read.message?.usage) }
  if (read?.type === 'message_delta') return { text: '', ...counts(read.usage) }
  const said = read?.type === 'content_block_delta' && read.delta?.type === 'text_delta'
  return { text: said ? (read.delta?.text ?? '') : '' }
}

export function readAnthropicBody(text: string): Reading {
  const read = parseOr(message, text)
  const said = (read?.content ?? []).map((block) => (block.type === 'text' ? (block.text ?? '') : ''))
  return { text: said.join(''), ...counts(read?.usage) }
}

/** Tokens read from or written to the provider's cache are input too; Anthropic counts them beside `input_tokens`. */
function counts(read: z.infer<typeof usage>): Omit<Reading, 'text'> {
  if (!read) return {}
  const input = read.input_tokens
  const cached = (read.cache_creation_input_tokens ?? 0) + (read.cache_read_input_tokens ?? 0)
  return {
    ...(input == null ? {} : { input: input + cached }),
    ...(read.output_tokens == null ? {} : { output: read.output_tokens }),
  }
}
