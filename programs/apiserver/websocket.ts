import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { ClawError, type ErrorCode, errorMessage } from '#core/errors'
import type { RunEvent } from '#core/journal'
import type { Logger } from '#core/telemetry'
import { type BrowserSessions, checkOrigin } from './browser/cookie.ts'
import type { StreamEnd } from './delivery.ts'
import type { Throttle } from './limits/throttle.ts'
import { httpRequests } from './metrics.ts'
import { ofObject } from './openapi/schemas.ts'
import { problemOf, rawProblem } from './problem.ts'
import type { Streams } from './streams.ts'

export interface WebSocketOptions {
  streams: Streams
  browsers: BrowserSessions
  throttle: Throttle
  log: Logger
}

const path = /^\/api\/v1\/namespaces\/([^/]+)\/runs\/([^/]+)\/stream$/
/** Clients have nothing to say; this is room for control frames. */
const maxPayload = 1024

/**
 * Serves `.../runs/{name}/stream?after=` on the server's upgrades. Who may not read gets an HTTP status and no
 * WebSocket. A frame is one event as JSON; the socket closes with 1000 after the outcome.
 */
export function serveWebSockets(server: Server, { log, ...options }: WebSocketOptions): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload, perMessageDeflate: false, clientTracking: false })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    upgrade(sockets, options, { request, socket, head }).catch((error: unknown) => {
      log.debug({ path: request.url?.split('?')[0], error: errorMessage(error) }, 'upgrade refused')
      count(problemOf(error).status)
      refuse(socket, error)
    })
  })
}

async function upgrade(
  sockets: WebSocketServer,
  { streams, browsers, throttle }: Omit<WebSocketOptions, 'log'>,
  { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
): Promise<void> {
  const { authorization, cookie, origin, host } = request.headers
  const proxied = one(request.headers['x-k8sclaw-authorization'])
  const token = browsers.tokenOf({ authorization, proxied, cookie, origin, host, guarded: true })
  // A browser says which page opens the socket; other clients say nothing.
  if (origin !== undefined) checkOrigin({ origin, host })
  // What is no URL is the place of nothing.
  const url = URL.parse(request.url ?? '/', 'http://host')
  const [, ns, name] = path.exec(url?.pathname ?? '') ?? []
  const named = ofObject.safeParse({ ns, name })
  if (!url || !named.success) throw new ClawError('not_found', 'no stream is served here')
  // Opening one is a request like any other; once it is open the limits of streams hold.
  const { leave } = await throttle.admit(token)
  const { ns: namespace, name: run } = named.data
  const after = url.searchParams.get('after') ?? undefined
  const stream = await streams.open({ token, namespace, name: run, after }).finally(leave)
  if (socket.destroyed) {
    stream.release()
    return
  }
  // A handshake that ws itself refuses destroys the socket and calls nothing back.
  socket.once('close', stream.release)
  sockets.handleUpgrade(request, socket, head, (client) => {
    count(101)
    const left = new AbortController()
    let alive = true
    client.on('close', () => left.abort())
    client.on('error', () => client.terminate())
    client.on('pong', () => {
      alive = true
    })
    const sink = {
      left: left.signal,
      send: (event: RunEvent) => new Promise<void>((resolve) => client.send(JSON.stringify(event), () => resolve())),
      ping: () => {
        if (!alive) client.terminate()
        alive = false
        if (client.readyState === client.OPEN) client.ping()
      },
    }
    void stream.deliver(sink).then((end) => close(client, end))
  })
}

/** Close codes: RFC 6455, and 4000 plus the HTTP status for a right that ended. */
function close(client: WebSocket, end: StreamEnd): void {
  if (end === 'outcome') client.close(1000, 'outcome')
  else if (end === 'stopping') client.close(1001, 'resume with the last id')
  else if (end === 'slow' || end === 'left') client.terminate()
  else client.close(closeCodes[end.code] ?? 1011, end.code)
}

const closeCodes: { [code in ErrorCode]?: number } = { unauthenticated: 4401, forbidden: 4403, not_found: 4404 }

/** As the requests that are no upgrades are counted. */
function count(status: number): void {
  httpRequests.add({ method: 'GET', route: '/api/v1/namespaces/:ns/runs/:name/stream', status: String(status) })
}

function refuse(socket: Duplex, error: unknown): void {
  if (socket.destroyed) return
  socket.end(rawProblem(error))
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}
