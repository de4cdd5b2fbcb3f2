/**
 * The gateway: the only way to a model. It adds the provider's key to a request of a run, passes it on and meters it. It
 * promises that no key leaves it and that what was used is recorded; it refuses requests that would reach past the
 * boundary at the provider.
 */
import { once } from 'node:events'
import { connectBus, tradeIdentity } from '#core/bus'
import { errorMessage } from '#core/errors'
import { loadKube } from '#core/kube'
import { settingsOrExit } from '#core/settings'
import { createLogger, onShutdown, serveMetrics } from '#core/telemetry'
import { portOn } from './bus-port.ts'
import { Callers } from './callers.ts'
import { kubeSecrets } from './kube-secrets.ts'
import { PoliciesOfBus } from './policies.ts'
import { ProviderSecrets } from './secrets.ts'
import { gatewayServer } from './server.ts'
import { readSettings } from './settings.ts'
import { Upstreams } from './upstream.ts'
import { UsageOutbox } from './usage-outbox.ts'

const settings = settingsOrExit('gateway', readSettings)

/** Within the grace period of a pod: calls under way get this long to end, what was metered this long to be stored. */
const callGraceMs = 4_000
const usageGraceMs = 3_000

const log = createLogger('gateway')
const stopBus = new AbortController()
const stopCalls = new AbortController()

try {
  await serveMetrics(settings.metrics, log)
  const kube = await loadKube()
  const identity = tradeIdentity(settings.identity)
  const connection = connectBus({
    url: settings.busUrl,
    trust: settings.trust,
    credentials: () => identity.credentials(),
    name: 'gateway',
    signal: stopBus.signal,
    log,
  })
  connection.catch((error: unknown) => {
    if (stopBus.signal.aborted) return
    log.fatal({ error: errorMessage(error) }, 'no identity on the bus')
    process.exit(1)
  })
  const policies = new PoliciesOfBus()
  policies.follow(connection, stopBus.signal).catch((error: unknown) => {
    if (!stopBus.signal.aborted) log.error({ err: error }, 'policies not followed any more')
  })
  const bus = portOn(connection)
  const outbox = new UsageOutbox(bus, log)
  const upstreams = new Upstreams()
  const server = gatewayServer({
    callers: new Callers(settings.runTokenKeyFile),
    secrets: new ProviderSecrets(kubeSecrets(kube)),
    policies,
    upstreams,
    bus,
    outbox,
    log,
    tlsDir: settings.tlsDir,
    signal: stopCalls.signal,
  })
  onShutdown(log, async () => {
    const impatience = setTimeout(() => stopCalls.abort(), callGraceMs)
    server.close()
    server.closeIdleConnections()
    await once(server, 'close')
    clearTimeout(impatience)
    await outbox.close(usageGraceMs)
    upstreams.close()
    stopBus.abort()
  })
  server.listen(settings.listen.port, settings.listen.host)
  await once(server, 'listening')
  log.info(settings.listen, 'serving')
} catch (error) {
  log.fatal({ err: error }, 'start failed')
  process.exit(1)
}
