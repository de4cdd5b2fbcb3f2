import type { Json } from '../rules.ts'
import { providerError, type TokenUsage, type WireFormat } from '../wire.ts'
import { conversationOf } from './conversation.ts'
import { type Line, play } from './play.ts'
import type { DemoScript } from './script.ts'
import { anthropicDocument, anthropicEvents } from './to-anthropic.ts'
import { openaiDocument, openaiEvents } from './to-openai.ts'

/** Bytes of a reply, and how long to wait before them. */
export interface DemoPiece {
  delayMs: number
  bytes: string
}

/** A reply as a provider would give it; whoever serves it does the waiting. */
export interface DemoReply {
  status: number
  headers: Record<string, string>
  pieces: DemoPiece[]
}

/**
 * What the demo model answers to a judged request, in its wire format, streamed or whole. The same script and request
 * give the same bytes. Throws ClawError `invalid` for a request that is not of the format or that no step answers.
 */
export function demoReply(script: DemoScript, format: WireFormat, body: Json): DemoReply {
  const line = play(script, conversationOf(format, body))
  if ('error' in line) {
    const { status, headers, body: text } = providerError(format, { code: 'demo_error', ...line.error })
    return { status, headers, pieces: [{ delayMs: line.delayMs, bytes: text }] }
  }
  if (body.stream === true) {
    const pieces = format === 'openai' ? openaiEvents(line, body) : anthropicEvents(line)
    return { status: 200, headers: { 'content-type': 'text/event-stream; charset=utf-8' }, pieces }
  }
  const document = format === 'openai' ? openaiDocument(line) : anthropicDocument(line)
  const pieces = [{ delayMs: line.delayMs * partsOf(line), bytes: JSON.stringify(document) }]
  return { status: 200, headers: { 'content-type': 'application/json' }, pieces }
}

/** The answer of count_tokens: what the same request would be told as its input. */
export function demoTokens(format: WireFormat, body: Json): TokenUsage['input'] {
  return conversationOf(format, body).tokens
}

function partsOf(line: Line): number {
  return line.text.length + line.calls.length
}
