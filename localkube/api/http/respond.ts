import type { ServerResponse } from 'node:http'
import { ApiError, toStatus } from '../api-error.ts'

/** Sends JSON text. */
export function sendJson(response: ServerResponse, code: number, text: string): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(code, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-cache, private',
  })
  response.end(text)
}

export function sendText(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' })
  response.end(text)
}

/** Sends a failure as a Status, or drops the connection when the answer has begun already. */
export function sendError(response: ServerResponse, error: ApiError): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const wait = error.details?.retryAfterSeconds
  if (wait !== undefined) response.setHeader('Retry-After', String(wait))
  sendJson(response, error.code, JSON.stringify(toStatus(error)))
}

/** Sentences that kubectl prints as `Warning: ...`. */
export function addWarnings(response: ServerResponse, warnings: string[]): void {
  if (warnings.length === 0 || response.headersSent) return
  const values = [...new Set(warnings)].map((text) => `299 - "${headerSafe(text).replace(/["\\]/g, '\\$&')}"`)
  response.setHeader('Warning', values)
}

/** A header holds no control characters and nothing past Latin-1. */
function headerSafe(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}

/** Any failure as one that can be sent: what is not an ApiError is our own defect, and its details stay here. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return new ApiError(400, 'BadRequest', 'the object nests too deeply', undefined, { cause: error })
  }
  return new ApiError(500, 'InternalError', 'Internal error occurred', undefined, { cause: error })
}
