import { createServer, type Server } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAdaptorServer } from '@hono/node-server'
import { Informer, type Kube, validatingWebhookConfigurations } from '#core/kube'
import type { Platform } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { webhookApp } from './app.ts'
import { configurationName, injectAuthority, type WebhookConfiguration } from './injection.ts'
import { keepCertificate } from './keeper.ts'

/** How often the Secret is read again: for a renewal by another replica, and to renew in time. */
const rereadMs = 3_600_000
const retryMs = 1_000

export interface ServeOptions {
  kube: Kube
  namespace: string
  listen: { host: string; port: number }
  platform: Platform
  log: Logger
  signal: AbortSignal
}

export interface Webhook {
  server: Server
  /** Whether it serves and the API server was told of its authority. */
  isReady: () => boolean
  /** Resolves when the signal has aborted and all has stopped. */
  done: Promise<void>
}

/**
 * Serves admission over TLS and keeps the API server's trust in it: the configuration is watched, so that applying the
 * manifests again, which drops the authority, costs a moment and not the next hour.
 */
export async function serveWebhook({ kube, namespace, listen, platform, log, signal }: ServeOptions): Promise<Webhook> {
  const service = `k8sclaw-webhook.${namespace}.svc`
  const names = [service, `${service}.cluster.local`]
  let certificate = await keepCertificate({ kube, namespace, names })
  let ready = false

  const app = webhookApp({ lookups: kube, platform, isReady: () => ready, log })
  const server = createAdaptorServer({
    fetch: app.fetch,
    createServer,
    serverOptions: { key: certificate.key, cert: certificate.chain, minVersion: 'TLSv1.2' },
  }) as Server
  server.on('tlsClientError', (error) => log.debug({ err: error }, 'tls handshake failed'))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen.port, listen.host, resolve)
  })

  let wake = Promise.withResolvers<void>()
  const configuration = new Informer<WebhookConfiguration>(kube, validatingWebhookConfigurations, {
    namespace: '*',
    fieldSelector: `metadata.name=${configurationName}`,
    onError: (error) => log.warn({ err: error }, 'watch of the webhook configuration broke'),
  })
  const changed = () => wake.resolve()
  configuration.on({ add: changed, update: changed, delete: changed })

  const keep = async () => {
    while (!signal.aborted) {
      wake = Promise.withResolvers<void>()
      let pause = rereadMs
      try {
        certificate = await keepCertificate({ kube, namespace, names })
        server.setSecureContext({ key: certificate.key, cert: certificate.chain, minVersion: 'TLSv1.2' })
        const found = configuration.get(configurationName)
        if (found) await injectAuthority(kube, found, certificate.authority)
        ready = found !== undefined
      } catch (error) {
        log.warn({ err: error }, 'keeping the certificate failed')
        pause = retryMs
      }
      const timer = new AbortController()
      const stop = AbortSignal.any([signal, timer.signal])
      await Promise.race([wake.promise, sleep(pause, undefined, { signal: stop }).catch(() => {})])
      timer.abort()
    }
  }
  const close = async () => {
    server.closeIdleConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  const done = Promise.all([configuration.run(signal), keep()]).then(close)
  return { server, isReady: () => ready, done }
}
