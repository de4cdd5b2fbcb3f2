import { createServer, type Server } from 'node:https'
import { createAdaptorServer } from '@hono/node-server'
import type { Kube } from '#core/kube'
import type { Platform } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { webhookApp } from './app.ts'
import type { Certificate } from './certificate.ts'
import { Upkeep, type UpkeepPace, usualPace } from './upkeep.ts'

/**
 * An API server forgets an idle connection after 90 s. Whoever closes it before may do so while a review is on its way,
 * which then fails, and with it somebody's write.
 */
const keepAliveTimeout = 120_000
/** An API server gives up on a review after 30 s at most; who sends slower than that is none. */
const requestTimeout = 30_000
/** Who connects and says nothing, or nothing of TLS, is let go; Node waits two minutes. */
const handshakeTimeout = 10_000
/** How often it is looked who has been too slow. */
const connectionsCheckingInterval = 5_000

export interface ServeOptions {
  kube: Kube
  namespace: string
  listen: { host: string; port: number }
  /** DNS names and addresses under which API servers call. */
  names: readonly string[]
  platform: Platform
  log: Logger
  signal: AbortSignal
  pace?: UpkeepPace
}

export interface Webhook {
  server: Server
  /** Whether it serves and API servers are told to trust what it serves. */
  isReady: () => boolean
  /**
   * Goes on as before, except that each answer ends its connection: API servers keep theirs for as long as somebody
   * answers, and would come here until the end.
   */
  leave: () => void
  /** Resolves when the signal has aborted and all has stopped. */
  done: Promise<void>
}

/** Serves admission over TLS, with a certificate that it keeps and that API servers are told to trust. */
export async function serveWebhook(options: ServeOptions): Promise<Webhook> {
  const { kube, namespace, listen, names, platform, log, signal, pace = usualPace } = options
  const upkeep = await Upkeep.begin({ kube, namespace, names, pace, log })
  const isReady = () => upkeep.isTrusted()
  const app = webhookApp({ lookups: kube, platform, systemNamespace: namespace, isReady, log })
  const server = createAdaptorServer({
    fetch: app.fetch,
    createServer,
    serverOptions: {
      ...secureContext(upkeep.certificate),
      requestTimeout,
      headersTimeout: requestTimeout,
      handshakeTimeout,
      connectionsCheckingInterval,
      keepAliveTimeout,
    },
  }) as Server
  let isLeaving = false
  server.prependListener('request', (_, response) => {
    if (isLeaving) response.setHeader('Connection', 'close')
  })
  server.on('tlsClientError', (error) => log.debug({ err: error }, 'tls handshake failed'))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen.port, listen.host, resolve)
  })
  const close = async () => {
    server.closeIdleConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  const done = upkeep.run((certificate) => server.setSecureContext(secureContext(certificate)), signal).then(close)
  const leave = () => {
    isLeaving = true
  }
  return { server, isReady, leave, done }
}

function secureContext({ key, chain }: Certificate) {
  return { key, cert: chain, minVersion: 'TLSv1.2' as const }
}
