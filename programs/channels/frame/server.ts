import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { errorMessage } from '#core/errors'
import type { Logger } from '#core/telemetry'
import { webhookRequests } from './metrics.ts'
import type { ChatService, WebhookAnswer } from './port.ts'

const maxBody = 1024 * 1024
const limits = { requestTimeout: 20_000, headersTimeout: 10_000, keepAliveTimeout: 65_000, maxHeaderSize: 16_384 }

/** `/healthz`, `/readyz`, and `/webhook` where the service calls; whoever makes it listens and closes. */
export function channelServer(service: Pick<ChatService, 'webhook'>, ready: () => boolean, log: Logger): Server {
  return createServer(limits, (request, response) => {
    answer(service, ready, request).then(
      (said) => send(response, said),
      (error: unknown) => {
        log.error({ error: errorMessage(error) }, 'request failed')
        send(response, { status: 500 })
      },
    )
  })
}

async function answer(
  service: Pick<ChatService, 'webhook'>,
  ready: () => boolean,
  request: IncomingMessage,
): Promise<WebhookAnswer> {
  const base = 'http://channel'
  const target = request.url ?? '/'
  if (!URL.canParse(target, base)) return { status: 400 }
  const url = new URL(target, base)
  if (url.pathname === '/healthz') return { status: 200, body: 'ok' }
  if (url.pathname === '/readyz') return ready() ? { status: 200, body: 'ok' } : { status: 503, body: 'no bus' }
  if (url.pathname !== '/webhook' || !service.webhook) return { status: 404 }
  const body = await read(request)
  const said = body
    ? await service.webhook({ method: request.method ?? 'GET', url, headers: headersOf(request), body })
    : { status: 413 }
  webhookRequests.add({ status: String(said.status) })
  return said
}

/** The body, or undefined where it is too long. */
async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBody) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
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
