import type { Context } from 'hono'
import type { z } from 'zod'
import { ClawError, errorMessage } from '#core/errors'
import { maxTaskLength } from '#core/kinds'
import { mistakeIn } from './json-place.ts'

/** Longest body, bytes: a task and a system prompt at their limits, each character escaped. */
const maxBodyBytes = 1024 * 1024
/** A client that sends this much gets its connection closed instead of an answer. */
const maxDrainBytes = 64 * 1024 * 1024
/** Deeper than any of our schemas, and shallow enough for whoever walks a value by calling itself. */
const maxDepth = 64

/**
 * The body of a request by its schema. Throws `unsupported` for another content type, `too_large`, `malformed` (with
 * the line) for what is not JSON, and `invalid` that names the field for everything else, unknown fields included.
 */
export async function readBody<S extends z.ZodType>(
  c: Context,
  schema: S,
  types: readonly string[] = ['application/json'],
): Promise<z.output<S>> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (!type || !types.includes(type)) throw new ClawError('unsupported', `the body must be ${types.join(' or ')}`)
  const text = await readText(c.req.raw)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ClawError('malformed', `the body is not JSON: line ${mistakeIn(text)?.line}: ${errorMessage(cause)}`, {
      cause,
    })
  }
  if (isDeeper(value, maxDepth)) throw new ClawError('invalid', `the body is nested deeper than ${maxDepth}`)
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const unknownKey = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : []
  const field = [...(issue?.path.map(String) ?? []), ...unknownKey].join('.')
  const why = unknownKey.length > 0 ? 'there is no such field' : issue?.message
  throw new ClawError('invalid', field ? `${field}: ${why}` : `the body: ${why}`, {
    cause: parsed.error,
    ...(field && { field }),
  })
}

function isDeeper(value: unknown, most: number): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; depth <= most; depth++) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []))
    if (level.length === 0) return false
  }
  return true
}

/** Reads a body that is too long to its end too, so that the client is there to hear it and its connection goes on. */
async function readText({ body }: Request): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    if (size < maxBodyBytes) chunks.push(chunk.subarray(0, maxBodyBytes - size))
    size += chunk.length
    if (size > maxDrainBytes) break
  }
  const text = new TextDecoder().decode(Buffer.concat(chunks))
  if (size <= maxBodyBytes) return text
  const field = mistakeIn(text)?.field
  const most = `a task has at most ${maxTaskLength} characters`
  const message = `the body is longer than ${maxBodyBytes} bytes; ${most}`
  throw new ClawError('too_large', field === undefined ? message : `${field}: ${message}`, {
    ...(field !== undefined && { field }),
  })
}
