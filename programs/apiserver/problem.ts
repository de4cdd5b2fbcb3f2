import { STATUS_CODES } from 'node:http'
import { ClawError, toClawError } from '#core/errors'

export interface Problem {
  status: number
  /** application/problem+json (RFC 9457) with our stable code. */
  body: string
  headers: Record<string, string>
}

/** What whoever asked is told of an error. A fault of ours is told in the log alone. */
export function problemOf(error: unknown): Problem {
  const known = toClawError(error, 'internal', 'request')
  const shown = known.code === 'internal' ? new ClawError('internal', 'a fault of ours; see the log') : known
  const { code, status, message: detail, field } = shown
  return {
    status,
    body: JSON.stringify({ type: 'about:blank', title: code, code, status, detail, ...(field && { field }) }),
    headers: {
      'content-type': problemType,
      ...(code === 'unauthenticated' && { 'www-authenticate': 'Bearer' }),
      ...(code === 'unjudged' && { 'retry-after': '1' }),
      ...(code === 'too_many' && { 'retry-after': `${error instanceof ThrottledError ? error.retryAfterSeconds : 1}` }),
    },
  }
}

/** The same as a response. */
export function refusal(error: unknown): Response {
  const { status, body, headers } = problemOf(error)
  return new Response(body, { status, headers })
}

/** The same as it goes over a connection of which nobody else answers the request; it ends with it. */
export function rawProblem(error: unknown): string {
  const { status, body, headers } = problemOf(error)
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': Buffer.byteLength(body) })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${head}\r\n${body}`
}

export const problemType = 'application/problem+json'

/** `too_many`, with the time after which it is worth asking again. */
export class ThrottledError extends ClawError {
  readonly retryAfterSeconds: number

  constructor(message: string, waitMs: number) {
    super('too_many', message)
    this.retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000))
  }
}
