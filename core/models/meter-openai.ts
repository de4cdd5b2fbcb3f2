import * as z from 'zod'
import { parseOr } from './lenient.ts'
import type { SseEvent } from './sse.ts'
import type { Reading } from './wire.ts'

const tokens = z.int().min(0)
const usage = z.object({ prompt_tokens: tokens, completion_tokens: tokens }).nullish().catch(undefined)
const content = z.string().nullish().catch(undefined)

const chunk = z.object({
  choices: z
    .array(z.object({ index: z.int().nullish(), delta: z.object({ content }).nullish().catch(undefined) }))
    .nullish()
    .catch(undefined),
  usage,
})

const completion = z.object({
  choices: z
    .array(z.object({ message: z.object({ content }).nullish().catch(undefined) }))
    .nullish()
    .catch(undefined),
  usage,
})

/** Of several choices only the first is the text of the run. */
export function readOpenaiEvent(event: SseEvent): Reading {
  const read = parseOr(chunk, event.data)
  const first = read?.choices?.find((c) => (c.index ?? 0) === 0)
  return { text: first?.delta?.content ?? '', ...counts(read?.usage) }
}

const embedded = z.object({ usage: z.object({ prompt_tokens: tokens }).nullish().catch(undefined) })

/** An answer of `/embeddings`, which has no text and nothing that a model wrote. */
export function readEmbeddingsBody(text: string): Reading {
  const used = parseOr(embedded, text)?.usage
  return { text: '', ...(used && { input: used.prompt_tokens, output: 0 }) }
}

export function readOpenaiBody(text: string): Reading {
  const read = parseOr(completion, text)
  return { text: read?.choices?.[0]?.message?.content ?? '', ...counts(read?.usage) }
}

/** The chunk that `stream_options.include_usage` adds before `[DONE]`: no choices, only usage. */
export function isUsageOnly(event: SseEvent): boolean {
  const read = parseOr(chunk, event.data)
  return read?.choices?.length === 0 && read.usage != null
}

function counts(read: z.infer<typeof usage>): Omit<Reading, 'text'> {
  return read ? { input: read.prompt_tokens, output: read.completion_tokens } : {}
}
