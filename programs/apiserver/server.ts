import type { Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Bus } from '#core/bus'
import type { Kube } from '#core/kube'
import type { Store } from '#core/store'
import type { Logger } from '#core/telemetry'
import { httpServer } from '#core/tls'
import { apiApp } from './app.ts'
import { type StreamLimits, Streams } from './streams.ts'
import { serveWebSockets } from './websocket.ts'

export interface ServerOptions {
  kube: Kube
  /** The bus, once there is one: kinds are served without it, streams are not, and readiness waits for it. */
  bus: () => Bus | undefined
  /** The database, once it is there; sessions and usage wait for it, nothing else does. */
  store?: () => Store | undefined
  log: Logger
  /** Folder of the certificate to serve with; without it plain HTTP is served. */
  tlsDir?: string | undefined
  /** Ends the streams; the server itself is closed by its owner. */
  signal: AbortSignal
  limits?: Partial<StreamLimits>
}

/** Longer than the service proxy of an API server keeps an idle connection (90 s), so that it is the one that closes it. */
const keepAliveTimeout = 120_000

/** The whole API as one HTTP server that does not listen yet. */
export function apiServer({
  kube,
  bus,
  store = () => undefined,
  log,
  tlsDir: dir,
  signal,
  limits,
}: ServerOptions): Server {
  const streams = new Streams({ kube, bus, log, signal, ...(limits && { limits }) })
  const app = apiApp({ kube, streams, store, ready: () => bus() !== undefined, log })
  const server = httpServer({ keepAliveTimeout }, dir === undefined ? undefined : { dir, log })
  const answer = getRequestListener(app.fetch)
  server.on('request', (request, response) => void answer(request, response))
  serveWebSockets(server, streams, log)
  return server
}
