import type { IncomingMessage, ServerResponse } from 'node:http'
import { ClawError, toClawError } from '#core/errors'
import { providerError, type WireFormat } from '#core/models'

/** In the providers' words a wrong request is 400, and a gateway whose other side fails is 502. */
const statuses: Partial<Record<ClawError['code'], number>> = { invalid: 400, unavailable: 502 }

/** How a failure is told in the wire formats. */
export function statusOf(error: ClawError): number {
  return statuses[error.code] ?? error.status
}

/** Answers a refusal or failure in the provider's shape; where the answer has begun, the connection is cut instead. */
export function answerError(format: WireFormat, response: ServerResponse, thrown: unknown): ClawError {
  const error = toClawError(thrown, 'internal', 'the gateway failed')
  if (response.headersSent) {
    response.destroy()
    return error
  }
  const message = error.code === 'internal' ? 'the gateway failed' : error.message
  const problem = { status: statusOf(error), code: error.code, message, retryable: error.retryable }
  const { status, headers, body } = providerError(format, problem)
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
  return error
}

export function answerJson(response: ServerResponse, status: number, value: object): void {
  const body = JSON.stringify(value)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  response.writeHead(status, headers).end(body)
}

/** The body of a request, uncompressed. Throws ClawError `unsupported` or `too_large`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw new ClawError('unsupported', `the body must not be encoded as ${encoding}`)
  const tooLarge = () => new ClawError('too_large', `the request is larger than ${maxBytes} bytes`)
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > maxBytes) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (cause) {
    throw toClawError(cause, 'malformed', 'the request was cut off')
  }
  return Buffer.concat(chunks)
}
