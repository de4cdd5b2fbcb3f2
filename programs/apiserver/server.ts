import type { Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Bus } from '#core/bus'
import { ClawError } from '#core/errors'
import type { Kube } from '#core/kube'
import type { Store } from '#core/store'
import type { Logger } from '#core/telemetry'
import { httpServer } from '#core/tls'
import { apiApp } from './app.ts'
import { BrowserSessions } from './browser/cookie.ts'
import { type AnswerLimits, answerLimits, LargeAnswers } from './limits/large-answers.ts'
import { type RequestLimits, requestLimits, Throttle } from './limits/throttle.ts'
import type { MeaningOf } from './memory/routes.ts'
import { rawProblem, refusal } from './problem.ts'
import { Prices } from './sessions/prices.ts'
import { type StreamLimits, Streams } from './streams.ts'
import { serveWebSockets } from './websocket.ts'

export interface ServerOptions {
  kube: Kube
  /** The bus, once there is one: kinds are served without it, streams are not, and readiness waits for it. */
  bus: () => Bus | undefined
  /** The database, once it is there; sessions and usage wait for it, nothing else does. */
  store?: () => Store | undefined
  /** What makes a text comparable with memories; they are searched by their words without. */
  meaning?: MeaningOf
  log: Logger
  /** Folder of the certificate to serve with; without it plain HTTP is served. */
  tlsDir?: string | undefined
  /** The operator's own prices of models; those of the release without. */
  pricesFile?: string | undefined
  /** Ends the streams; the server itself is closed by its owner. */
  signal: AbortSignal
  limits?: Partial<StreamLimits & RequestLimits & AnswerLimits>
}

/** Longer than the service proxy of an API server keeps an idle connection (90 s), so that it is the one that closes it. */
const keepAliveTimeout = 120_000

/** Room for a token of the greatest length beside what else a request says. */
const maxHeaderSize = 32 * 1024

/** The whole API as one HTTP server that does not listen yet. */
export function apiServer({
  kube,
  bus,
  store = () => undefined,
  meaning = async () => undefined,
  log,
  tlsDir: dir,
  pricesFile,
  signal,
  limits,
}: ServerOptions): Server {
  const streams = new Streams({ kube, bus, log, signal, ...(limits && { limits }) })
  const throttle = new Throttle(kube, { ...requestLimits, ...limits })
  const browsers = new BrowserSessions({ tlsDir: dir })
  const prices = new Prices(pricesFile, log)
  const app = apiApp({
    kube,
    bus,
    streams,
    store,
    meaning,
    prices,
    browsers,
    throttle,
    answers: new LargeAnswers({ ...answerLimits, ...limits }),
    ready: () => bus() !== undefined,
    log,
  })
  const server = httpServer({ keepAliveTimeout, maxHeaderSize }, dir === undefined ? undefined : { dir, log })
  const answer = getRequestListener(app.fetch, {
    errorHandler: (error) => refusal(new ClawError('malformed', 'this is no request', { cause: error })),
  })
  server.on('request', (request, response) => void answer(request, response))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else socket.end(rawProblem(notHttp(error)))
  })
  serveWebSockets(server, { streams, browsers, throttle, log })
  return server
}

/** What Node's parser does not let through. */
function notHttp(error: NodeJS.ErrnoException): ClawError {
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return new ClawError('too_large', `the headers are longer than ${maxHeaderSize} bytes`)
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return new ClawError('timeout', 'the request did not come to its end')
  return new ClawError('malformed', 'this is not HTTP')
}
