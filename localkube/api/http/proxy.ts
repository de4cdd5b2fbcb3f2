import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import { ApiError, badRequest } from '../api-error.ts'
import type { NodeHooks } from '../types.ts'
import { asApiError } from './respond.ts'

/** Headers of one hop (RFC 9110, 7.6.1); the next hop has its own. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export interface ProxyTarget {
  scheme: 'http' | 'https'
  host: string
  port: number
  path: string
}

/** Reads `[scheme:]name[:port]`, and asks the node where that answers. */
export function findTarget(hooks: NodeHooks, namespace: string, id: string, pathAndQuery: string): ProxyTarget {
  const parts = id.split(':')
  const hasScheme = parts.length === 3 || (parts.length === 2 && ['http', 'https'].includes(parts[0] ?? ''))
  const [scheme = 'http', name = '', port = ''] = hasScheme ? parts : ['http', ...parts]
  if (parts.length > 3 || name === '' || !['http', 'https', ''].includes(scheme)) {
    throw badRequest(`invalid service request ${JSON.stringify(id)}: use [http|https:]name[:port]`)
  }
  const found = hooks.resolveService(namespace, name, port)
  if (!found) {
    throw new ApiError(503, 'ServiceUnavailable', `no endpoints available for service ${JSON.stringify(id)}`)
  }
  return { scheme: scheme === 'https' ? 'https' : 'http', ...found, path: pathAndQuery }
}

/** Passes one request on and its answer back, both as streams. */
export function proxyRequest(target: ProxyTarget, request: IncomingMessage, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = connect(target, request.method ?? 'GET', forwardedHeaders(request, target))
    outgoing.on('response', (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, withoutHops(incoming.headers))
      // Event streams say something before their first event: that they are open.
      response.flushHeaders()
      incoming.on('error', () => response.destroy())
      incoming.pipe(response)
      incoming.on('end', resolve)
      incoming.on('close', resolve)
    })
    outgoing.on('error', (error) => {
      if (response.headersSent) {
        response.destroy()
        resolve()
      } else reject(unreachable(target, error))
    })
    response.on('close', () => outgoing.destroy())
    request.on('error', () => outgoing.destroy())
    request.pipe(outgoing)
  })
}

/** Passes a protocol upgrade on (WebSocket) and then joins the two connections. */
export function proxyUpgrade(target: ProxyTarget, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const headers = forwardedHeaders(request, target)
  headers.connection = 'Upgrade'
  headers.upgrade = request.headers.upgrade
  const outgoing = connect(target, request.method ?? 'GET', headers)
  outgoing.on('upgrade', (incoming, upstream, upstreamHead) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${rawHeaders(incoming)}\r\n`)
    socket.write(upstreamHead)
    upstream.write(head)
    socket.pipe(upstream)
    upstream.pipe(socket)
    const end = (): void => {
      socket.destroy()
      upstream.destroy()
    }
    for (const side of [socket, upstream]) side.on('error', end).on('close', end)
  })
  outgoing.on('response', (incoming) => {
    // The service refused the upgrade; the client reads why.
    socket.write(`HTTP/1.1 ${incoming.statusCode ?? 502} ${incoming.statusMessage ?? ''}\r\n`)
    socket.write(`${rawHeaders(incoming, hopByHop)}Connection: close\r\n\r\n`)
    incoming.pipe(socket)
  })
  outgoing.on('error', (error) => refuseUpgrade(socket, unreachable(target, error)))
  socket.on('error', () => outgoing.destroy())
  socket.on('close', () => outgoing.destroy())
  outgoing.end()
}

/** Answers an upgrade request that cannot be served. */
export function refuseUpgrade(socket: Duplex, error: unknown): void {
  const { code, message } = asApiError(error)
  if (socket.destroyed) return
  const body = JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code })
  socket.end(
    `HTTP/1.1 ${code} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

function connect(target: ProxyTarget, method: string, headers: OutgoingHttpHeaders): ReturnType<typeof httpRequest> {
  const { host, port, path } = target
  const options = { host, port, path, method, headers }
  // As kube-apiserver: what is behind a Service is trusted by its address; its certificate is its own affair.
  return target.scheme === 'https' ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options)
}

/** The caller's token is for this server alone: Authorization does not travel on, nor do impersonation headers. */
function forwardedHeaders(request: IncomingMessage, target: ProxyTarget): OutgoingHttpHeaders {
  const headers = withoutHops(request.headers)
  for (const name of Object.keys(headers)) {
    if (name === 'authorization' || name.startsWith('impersonate-')) delete headers[name]
  }
  const from = request.socket.remoteAddress ?? ''
  const before = request.headers['x-forwarded-for']
  headers['x-forwarded-for'] = before ? `${String(before)}, ${from}` : from
  headers['x-forwarded-host'] = request.headers.host
  headers['x-forwarded-proto'] = 'https'
  headers.host = `${target.host}:${target.port}`
  return headers
}

function withoutHops(headers: IncomingMessage['headers']): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.has(name)))
}

function rawHeaders(incoming: IncomingMessage, except = new Set<string>()): string {
  let text = ''
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    const name = incoming.rawHeaders[index] ?? ''
    if (!except.has(name.toLowerCase())) text += `${name}: ${incoming.rawHeaders[index + 1] ?? ''}\r\n`
  }
  return text
}

function unreachable(target: ProxyTarget, cause: Error): ApiError {
  const message = `error trying to reach service: ${cause.message} (${target.host}:${target.port})`
  return new ApiError(503, 'ServiceUnavailable', message, undefined, { cause })
}
