import { ClawError } from '#core/errors'
import { isObject, type Json, wrong } from './rules.ts'
import { checkMessages } from './rules-anthropic.ts'
import { checkEmbeddings } from './rules-embeddings.ts'
import { checkChatCompletion } from './rules-openai.ts'
import type { WireFormat } from './wire.ts'

/** Longest request, in bytes: a long history with a few inline images. */
export const maxRequestBytes = 8 * 1024 * 1024

/** A request that may be sent on. */
export interface ModelRequest {
  format: WireFormat
  model: string
  stream: boolean
  body: Json
  /** Whether usage was asked for on the client's behalf, so that its closing chunk must be withheld. */
  withholdUsage: boolean
}

/**
 * Reads and judges a model request. Throws ClawError: `too_large`, `malformed`, `invalid` for what is not of the wire
 * format, and `forbidden` for what would reach past the boundary at the provider: tools that the provider runs, remote
 * MCP servers, its files, containers and conversations, anything it would fetch, and every field nobody has judged.
 */
export function readModelRequest(format: WireFormat, bytes: Uint8Array): ModelRequest {
  const { body, model } = parseBody(bytes)
  // A provider that reads "stream": 1 as true would stream without the usage that is asked for here.
  if (body.stream !== undefined && typeof body.stream !== 'boolean') throw wrong('stream', 'must be true or false')
  if (format === 'openai') checkChatCompletion(body)
  else checkMessages(body)
  const stream = body.stream === true
  const withholdUsage = format === 'openai' && stream && !wantsUsage(body)
  return { format, model, stream, body, withholdUsage }
}

/** Reads and judges a request of embeddings, as `readModelRequest` does a request of a reply. */
export function readEmbeddingsRequest(bytes: Uint8Array): ModelRequest {
  const { body, model } = parseBody(bytes)
  checkEmbeddings(body)
  return { format: 'openai', model, stream: false, body, withholdUsage: false }
}

/**
 * The bytes for the provider. They are written anew, never the client's own: where a JSON object repeats a key, what
 * was judged is then what the provider reads.
 */
export function writeModelRequest(request: ModelRequest): string {
  const { body, withholdUsage } = request
  if (!withholdUsage) return JSON.stringify(body)
  const options = isObject(body.stream_options) ? body.stream_options : {}
  return JSON.stringify({ ...body, stream_options: { ...options, include_usage: true } })
}

function parseBody(bytes: Uint8Array): { body: Json; model: string } {
  if (bytes.length > maxRequestBytes) throw new ClawError('too_large', 'the request is larger than 8 MiB')
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    // Nesting that JSON.parse bears and JSON.stringify does not would fail later, past the point of a clear answer.
    JSON.stringify(value)
  } catch (cause) {
    if (cause instanceof RangeError) throw new ClawError('malformed', 'the body is nested too deeply', { cause })
    throw new ClawError('malformed', 'the body is not JSON in UTF-8', { cause })
  }
  if (!isObject(value)) throw new ClawError('malformed', 'the body is not a JSON object')
  const { model } = value
  if (typeof model !== 'string' || model === '' || model.length > 256)
    throw wrong('model', 'must be the name of a model')
  return { body: value, model }
}

function wantsUsage(body: Json): boolean {
  return isObject(body.stream_options) && body.stream_options.include_usage === true
}
