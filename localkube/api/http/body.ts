import type { IncomingMessage } from 'node:http'
import { parseDocument } from 'yaml'
import { ApiError, badRequest } from '../api-error.ts'
import { decodeProtobuf } from '../wire/protobuf.ts'
import { GreatestString } from './greatest-string.ts'

/** As kube-apiserver's: what etcd takes, twice. */
const maxBodyBytes = 3 * 1024 * 1024
/** A client that sends this much more gets its connection closed instead of an answer. */
const maxDrainBytes = 64 * 1024 * 1024

/** Reads the body. One that is too large is read to its end, so that the client is there to hear the 413. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  let greatest: GreatestString | undefined
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    chunks.push(chunk)
    if (size <= maxBodyBytes) continue
    greatest ??= new GreatestString()
    for (const part of chunks.splice(0)) greatest.read(part)
    if (size > maxDrainBytes) break
  }
  if (greatest) throw tooLarge(greatest)
  return Buffer.concat(chunks)
}

/** Names the field, which kube-apiserver does not: mostly it is one that makes an object so large. */
function tooLarge({ field, bytes }: GreatestString): ApiError {
  const alone = field ? `; ${field} alone has ${bytes} bytes` : ''
  const message = `Request entity too large: limit is ${maxBodyBytes}${alone}; keep large content in files or split it over several objects`
  const causes = field ? [{ reason: 'FieldValueTooLong', message: `${bytes} bytes`, field }] : []
  return new ApiError(413, 'RequestEntityTooLarge', message, { causes })
}

/** The media type without its parameters. */
export function mediaType(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? ''
}

/** Decodes a body that holds an object; undefined for an empty one. */
export function parseBody(type: string, body: Buffer): unknown {
  if (body.length === 0) return undefined
  switch (type) {
    case 'application/json':
    case '*/*':
      return parseJson(body)
    case 'application/yaml':
    case 'application/vnd.yaml':
      return parseYaml(body)
    case 'application/vnd.kubernetes.protobuf':
      return decodeProtobuf(body)
    default:
      throw new ApiError(
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format (${type}); accepted media types are application/json and application/yaml`,
      )
  }
}

export function parseJson(body: Buffer): unknown {
  const text = toText(body)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw badRequest(`the body is not valid JSON: ${withPosition(error, text)}`, { cause: error })
  }
}

export function parseYaml(body: Buffer): unknown {
  const text = toText(body)
  try {
    const document = parseDocument(text, { prettyErrors: true })
    const [problem] = document.errors
    if (!problem) return document.toJS({ maxAliasCount: 100 })
    throw badRequest(`the body is not valid YAML: ${problem.message.split('\n')[0] ?? ''}`, { cause: problem })
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw badRequest(`the body is not valid YAML: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

function toText(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (error) {
    throw badRequest('the body is not valid UTF-8', { cause: error })
  }
}

/** V8 tells the place of most mistakes but not of all; then the quoted text leads to it. */
function withPosition(error: unknown, text: string): string {
  const message = error instanceof Error ? error.message : String(error)
  if (/line \d+/.test(message)) return message
  const position = Number(/at position (\d+)/.exec(message)?.[1] ?? Number.NaN)
  if (Number.isNaN(position)) return `${message.split('\n').join(' ').slice(0, 200)} (${text.split('\n').length} lines)`
  const before = text.slice(0, position).split('\n')
  return `${message} (line ${before.length} column ${(before.at(-1)?.length ?? 0) + 1})`
}
