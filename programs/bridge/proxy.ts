import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { errorMessage } from '#core/errors'
import { sameSecret } from '#core/identity'
import { maxRequestBytes, providerError, replyHeaders, type WireFormat } from '#core/models'
import type { Logger } from '#core/telemetry'
import type { Boundary } from './boundary.ts'
import type { Gateway } from './gateway-client.ts'
import { callModel, type Limits } from './model-calls.ts'

/** The run whose calls these are. */
export interface ServedRun {
  boundary: Boundary
  limits: Limits
  /** Told of every model call under way. */
  during(call: Promise<void>): Promise<void>
}

export interface ProxyOptions {
  listen: { host: string; port: number }
  /** What the agent was given; nobody else has it. */
  key: string
  gateway: Gateway
  log: Logger
  /** The run, once its task is read. */
  run: () => ServedRun | undefined
}

type Route = { format: WireFormat; question: 'reply' | 'count' | 'models' }

/** What is served, as the gateway names it too. */
const routes: Readonly<Record<string, Route>> = {
  'POST /openai/v1/chat/completions': { format: 'openai', question: 'reply' },
  'GET /openai/v1/models': { format: 'openai', question: 'models' },
  'POST /anthropic/v1/messages': { format: 'anthropic', question: 'reply' },
  'POST /anthropic/v1/messages/count_tokens': { format: 'anthropic', question: 'count' },
}
/** Request bodies held at once, of all calls together. */
const maxHeldBytes = 4 * maxRequestBytes

/** A refusal before anything is a call. */
class Refused extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** The providers' wire formats on loopback, for holders of the key; whoever makes it listens and closes. */
export function modelProxy(options: ProxyOptions): Server {
  const held = { bytes: 0 }
  const server = createServer({ requestTimeout: 120_000, headersTimeout: 20_000, keepAliveTimeout: 65_000 })
  server.on('request', (request, response) => {
    serve(options, held, request, response).catch((thrown: unknown) => {
      const format = request.url?.startsWith('/anthropic/') ? 'anthropic' : 'openai'
      const refused =
        thrown instanceof Refused ? thrown : new Refused(500, 'internal', `the bridge failed: ${errorMessage(thrown)}`)
      if (refused.status === 500) options.log.error({ err: thrown }, 'model request failed')
      if (response.headersSent) return response.destroy()
      const retryable = refused.status === 503 || refused.status === 429
      const { headers, body } = providerError(format, { ...refused, message: refused.message, retryable })
      response.writeHead(refused.status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
    })
  })
  return server
}

async function serve(
  options: ProxyOptions,
  held: { bytes: number },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  const run = options.run()
  if (path === '/healthz') return void response.end('ok\n')
  if (path === '/readyz') return void response.writeHead(run ? 200 : 503).end(run ? 'ok\n' : 'no task yet\n')
  admit(options, request)
  const key = `${request.method} ${path}`
  const route = Object.hasOwn(routes, key) ? routes[key] : undefined
  if (!route) throw new Refused(404, 'not_found', 'the bridge does not serve this path')
  if (!run) throw new Refused(503, 'unavailable', 'the run has not begun')

  const { format, question } = route
  const body = await readBody(request, held)
  try {
    const sent = { method: request.method ?? 'POST', path, headers: request.headers, body }
    if (question === 'models') await passModels(options.gateway, sent, response)
    else {
      const { boundary, limits } = run
      await run.during(
        callModel({ boundary, limits, gateway: options.gateway, format, question, request: sent, response }),
      )
    }
  } finally {
    held.bytes -= body.length
  }
}

/** A browser that was lured here says where it comes from, or names another host; only the agent has the key. */
function admit({ listen, key }: ProxyOptions, request: IncomingMessage): void {
  const { origin, host, authorization } = request.headers
  if (origin !== undefined) throw new Refused(403, 'forbidden', 'requests of web pages are refused')
  const port = request.socket.localPort
  const own = ['127.0.0.1', 'localhost', listen.host].map((name) => `${name}:${port}`)
  if (host === undefined || !own.includes(host)) throw new Refused(403, 'forbidden', 'the Host is not this bridge')
  const given = request.headers['x-api-key'] ?? /^Bearer (.+)$/i.exec(authorization ?? '')?.[1]
  if (typeof given !== 'string' || !sameSecret(given, key))
    throw new Refused(401, 'unauthenticated', "the key is not this bridge's")
}

/** What this run may use, which the gateway tells from the run token alone: nothing is done, so nothing is recorded. */
async function passModels(
  gateway: Gateway,
  sent: Parameters<Gateway['ask']>[0],
  response: ServerResponse,
): Promise<void> {
  const upstream = await gateway.ask(sent, AbortSignal.timeout(30_000))
  response.writeHead(upstream.statusCode ?? 502, replyHeaders(upstream.headers))
  await pipeline(upstream, response)
}

/** The body, whole, because its hash is recorded before any of it leaves. */
async function readBody(request: IncomingMessage, held: { bytes: number }): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length
      held.bytes += chunk.length
      if (length > maxRequestBytes) throw new Refused(413, 'too_large', `the request is larger than ${maxRequestBytes}`)
      if (held.bytes > maxHeldBytes) throw new Refused(429, 'too_many', 'too many large requests at once')
      chunks.push(chunk)
    }
  } catch (thrown) {
    held.bytes -= length
    throw thrown
  }
  return Buffer.concat(chunks)
}
