import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { errorMessage } from '#core/errors'
import type { Logger } from '#core/telemetry'
import { webhookRequests } from './metrics.ts'
import type { ChatService, WebhookAnswer } from './port.ts'

const usualMaxBody = 1024 * 1024
/** Of all requests together: a signature is known to be right only when all of a body is there. */
const maxReading = 32 * 1024 * 1024
const limits = { requestTimeout: 20_000, headersTimeout: 10_000, keepAliveTimeout: 65_000, maxHeaderSize: 16_384 }

/** `/healthz`, `/readyz`, and `/webhook` where the service calls; whoever makes it listens and closes. */
export function channelServer(service: Called, ready: () => boolean, log: Logger): Server {
  const bodies = new Bodies(service.maxWebhookBytes ?? usualMaxBody)
  return createServer(limits, (request, response) => {
    answer(service, ready, bodies, request).then(
      (said) => send(response, said),
      (error: unknown) => {
        log.error({ error: errorMessage(error) }, 'request failed')
        send(response, { status: 500 })
      },
    )
  })
}

type Called = Pick<ChatService, 'webhook' | 'maxWebhookBytes'>

async function answer(
  service: Called,
  ready: () => boolean,
  bodies: Bodies,
  request: IncomingMessage,
): Promise<WebhookAnswer> {
  const base = 'http://channel'
  const target = request.url ?? '/'
  if (!URL.canParse(target, base)) return { status: 400 }
  const url = new URL(target, base)
  if (url.pathname === '/healthz') return { status: 200, body: 'ok' }
  if (url.pathname === '/readyz') return ready() ? { status: 200, body: 'ok' } : { status: 503, body: 'no bus' }
  if (url.pathname !== '/webhook' || !service.webhook) return { status: 404 }
  const body = await bodies.read(request)
  const said =
    typeof body === 'number'
      ? { status: body, headers: { connection: 'close' } }
      : await service.webhook({ method: request.method ?? 'GET', url, headers: headersOf(request), body })
  webhookRequests.add({ status: String(said.status) })
  return said
}

/** Reads what is sent, each within its limit and all of them within theirs. */
class Bodies {
  readonly #max: number
  #reading = 0

  constructor(max: number) {
    this.#max = max
  }

  /** The body, or the status that says why it is not read: 413 where it is too long, 503 where too much is being read. */
  async read(request: IncomingMessage): Promise<Buffer | number> {
    if (Number(request.headers['content-length'] ?? 0) > this.#max) return 413
    const chunks: Buffer[] = []
    let size = 0
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        size += chunk.length
        this.#reading += chunk.length
        if (size > this.#max) return 413
        if (this.#reading > maxReading) return 503
        chunks.push(chunk)
      }
      return Buffer.concat(chunks)
    } finally {
      this.#reading -= size
    }
  }
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one)
  }
  return headers
}

function send(response: ServerResponse, { status, headers = {}, body = '' }: WebhookAnswer): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(body)
}
