/**
 * The gateway of programs/gateway for tests: its own server on port 0, run tokens signed with a fresh key, Secrets from
 * a table, its log in an array. And test upstreams: HTTP servers that speak the public wire formats of providers.
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { type RunClaims, signRunToken } from '#core/identity'
import type { BusPort } from '../../programs/gateway/bus-port.ts'
import { Callers } from '../../programs/gateway/callers.ts'
import type { PoliciesInForce } from '../../programs/gateway/policies.ts'
import { ProviderSecrets } from '../../programs/gateway/secrets.ts'
import { gatewayServer } from '../../programs/gateway/server.ts'
import { Upstreams } from '../../programs/gateway/upstream.ts'
import { UsageOutbox } from '../../programs/gateway/usage-outbox.ts'

export interface TestGateway {
  url: string
  /** A run token; what is not given is that of a run of the demo model. */
  token(claims?: Partial<RunClaims>): string
  /** Every line of its log. */
  logged: string[]
  /** Waits until all usage is published, at most so long, and takes no more. */
  flush(graceMs?: number): Promise<void>
  close(): Promise<void>
}

export async function startGateway(options: {
  bus: BusPort
  secrets?: Record<string, Record<string, string>>
  /** What is in force; nothing is known of any policy where this is not given. */
  policies?: PoliciesInForce
}): Promise<TestGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-gateway-'))
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const keyFile = join(folder, 'run-token.public.pem')
  await writeFile(keyFile, publicKey.export({ type: 'spki', format: 'pem' }))
  const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const logged: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })
  const stop = new AbortController()
  const outbox = new UsageOutbox(options.bus, log)
  const upstreams = new Upstreams()
  const server = gatewayServer({
    callers: new Callers(keyFile),
    secrets: new ProviderSecrets(async (namespace, name) => options.secrets?.[`${namespace}/${name}`]),
    policies: options.policies ?? { of: () => undefined },
    upstreams,
    bus: options.bus,
    outbox,
    log,
    signal: stop.signal,
  })
  const url = await listen(server)
  return {
    url,
    logged,
    token: (claims = {}) =>
      signRunToken(privatePem, {
        uid: 'run-uid-1',
        run: 'a-run',
        namespace: 'tenant-a',
        instance: 'helper',
        attempt: 1,
        provider: 'demo',
        models: ['demo'],
        exp: Math.floor(Date.now() / 1000) + 600,
        ...claims,
      }),
    flush: (graceMs = 10_000) => outbox.close(graceMs),
    async close() {
      stop.abort()
      await outbox.close(0)
      upstreams.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export interface Received {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: string
}

export interface TestUpstream {
  url: string
  received: Received[]
  close(): Promise<void>
}

/** A provider for tests; `answer` gets each request with its body read. */
export async function startUpstream(
  answer: (request: Received, response: ServerResponse) => void | Promise<void>,
): Promise<TestUpstream> {
  const received: Received[] = []
  const server = createServer((incoming, response) => {
    void (async () => {
      const got = {
        method: incoming.method ?? '',
        path: incoming.url ?? '',
        headers: incoming.headers,
        body: (await bytesOf(incoming)).toString(),
      }
      received.push(got)
      await answer(got, response)
    })()
  })
  const url = await listen(server)
  return {
    url,
    received,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  trailers: NodeJS.Dict<string>
  /** As text, whole. */
  body: string
}

/** A plain HTTP request that also reads trailers. `onData` may destroy the request, as a client that hangs up. */
export function ask(
  url: string,
  options: { token?: string; body?: unknown; headers?: Record<string, string>; onData?: (hangUp: () => void) => void },
): Promise<Reply> {
  const { token, body, headers, onData } = options
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      headers: { 'x-k8sclaw-step': '1', ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    })
    outgoing.on('error', reject)
    outgoing.on('response', (response) => {
      if (onData) response.on('data', () => onData(() => outgoing.destroy()))
      bytesOf(response).then((bytes) => {
        const { statusCode = 0, trailers } = response
        resolve({ status: statusCode, headers: response.headers, trailers, body: bytes.toString() })
      }, reject)
    })
    outgoing.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body))
  })
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
