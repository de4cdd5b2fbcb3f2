import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { ClawError, errorMessage } from '#core/errors'
import type { Connection } from './connection.ts'

export interface RawRequest {
  method?: string | undefined
  query?: Record<string, string | number | boolean | undefined> | undefined
  headers?: Record<string, string> | undefined
  /** Sent as it is; an object is sent as JSON. */
  body?: string | Uint8Array | object | undefined
  signal?: AbortSignal | undefined
  /** Milliseconds until the response must have begun; default 30 s, 0 for none. */
  timeoutMs?: number | undefined
  /** Longest answer that `text` reads, in bytes; `too_large` beyond it. Default 64 MiB. */
  maxBytes?: number | undefined
  /** Asked by `text` before it reads on. */
  reading?: Reading | undefined
}

/** Told how many bytes of an answer have been read: more are when it is done. It may refuse by throwing. */
export type Reading = (bytes: number) => Promise<void> | undefined

/** A response as it came, whatever its status; the caller reads or destroys `body`. */
export interface RawResponse {
  status: number
  headers: IncomingMessage['headers']
  body: IncomingMessage
  text(): Promise<string>
}

const usualMaxBytes = 64 * 1024 * 1024

async function requestOptions(
  connection: Connection,
  path: string,
  { method = 'GET', query, headers }: RawRequest = {},
): Promise<RequestOptions> {
  const { server } = connection
  const base = await connection.options()
  const prefix = server.pathname === '/' ? '' : server.pathname.replace(/\/$/, '')
  return {
    ...base,
    protocol: server.protocol,
    hostname: server.hostname.replace(/^\[|\]$/g, ''),
    port: server.port || (server.protocol === 'https:' ? 443 : 80),
    path: prefix + path + queryText(query),
    method,
    headers: { Accept: 'application/json', ...(base.headers as Record<string, string>), ...headers },
  }
}

/** Sends one request; resolves when the head of the response is there. Network failures are `unavailable`. */
export async function send(connection: Connection, path: string, request: RawRequest = {}): Promise<RawResponse> {
  request.signal?.throwIfAborted()
  const options = await requestOptions(connection, path, request)
  const payload = bodyBytes(request.body)
  const headers: Record<string, string | number> = { ...(options.headers as Record<string, string>) }
  if (payload) headers['Content-Length'] = payload.byteLength
  if (payload && !headers['Content-Type']) headers['Content-Type'] = 'application/json'
  const timeoutMs = request.timeoutMs ?? 30_000
  const what = `${options.method} ${connection.server.origin}${path}`
  return await new Promise((resolve, reject) => {
    const start = connection.server.protocol === 'http:' ? httpRequest : httpsRequest
    const outgoing = start({ ...options, headers, signal: request.signal })
    const timer = timeoutMs > 0 ? setTimeout(() => outgoing.destroy(tooSlow(what, timeoutMs)), timeoutMs) : undefined
    outgoing.on('error', (error) => {
      clearTimeout(timer)
      const text = `${what}: ${errorMessage(error)}`
      reject(error instanceof ClawError ? error : new ClawError('unavailable', text, { cause: error }))
    })
    outgoing.on('response', (incoming) => {
      clearTimeout(timer)
      // Whoever reads sees the error too; without a listener a cut connection would end the process.
      incoming.on('error', () => {})
      resolve({
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        body: incoming,
        text: () => readText(incoming, what, request),
      })
    })
    outgoing.end(payload)
  })
}

function tooSlow(what: string, timeoutMs: number): ClawError {
  return new ClawError('timeout', `${what}: no answer in ${timeoutMs} ms`)
}

async function readText(
  incoming: IncomingMessage,
  what: string,
  { maxBytes = usualMaxBytes, reading }: RawRequest,
): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  // A server that stops in the middle of a body must not hold its caller for ever.
  const silent = setTimeout(() => incoming.destroy(tooSlow(what, 60_000)), 60_000)
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      size += chunk.byteLength
      if (size > maxBytes) throw new ClawError('too_large', `${what}: the answer is larger than ${maxBytes} bytes`)
      chunks.push(chunk)
      await reading?.(size)
    }
  } catch (error) {
    if (error instanceof ClawError) throw error
    throw new ClawError('unavailable', `${what}: ${errorMessage(error)}`, { cause: error })
  } finally {
    clearTimeout(silent)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function bodyBytes(body: RawRequest['body']): Buffer | undefined {
  if (body === undefined) return undefined
  if (typeof body === 'string') return Buffer.from(body)
  return body instanceof Uint8Array ? Buffer.from(body) : Buffer.from(JSON.stringify(body))
}

function queryText(query: RawRequest['query']): string {
  const set = Object.entries(query ?? {}).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, String(value)] as [string, string]],
  )
  return set.length > 0 ? `?${new URLSearchParams(set)}` : ''
}
