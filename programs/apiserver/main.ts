/**
 * The API server: the kinds over REST with the caller's own token, and the events of runs as server-sent events and over
 * WebSockets (docs/api.md). It promises to serve kinds while the bus is away and every reader no more than they may get;
 * it refuses to act with rights of its own.
 */
import { once } from 'node:events'
import { type Bus, connectBus, tradeIdentity } from '#core/bus'
import { errorMessage } from '#core/errors'
import { loadKube } from '#core/kube'
import { settingsOrExit } from '#core/settings'
import { createLogger, onShutdown } from '#core/telemetry'
import { apiServer } from './server.ts'
import { readSettings } from './settings.ts'

const settings = settingsOrExit('apiserver', readSettings)

/** Within the grace period of a pod: requests under way get this long to end. */
const requestGraceMs = 4_000

const log = createLogger('apiserver')

try {
  const kube = await loadKube()
  const identity = tradeIdentity(settings.identity)
  const stopBus = new AbortController()
  const stopStreams = new AbortController()
  let bus: Bus | undefined
  connectBus({
    url: settings.busUrl,
    trust: settings.trust,
    credentials: () => identity.credentials(),
    name: 'apiserver',
    signal: stopBus.signal,
    log,
  }).then(
    (connected) => {
      bus = connected
    },
    (error: unknown) => {
      if (stopBus.signal.aborted) return
      log.fatal({ error: errorMessage(error) }, 'no identity on the bus')
      process.exit(1)
    },
  )
  const server = apiServer({ kube, bus: () => bus, log, tlsDir: settings.tlsDir, signal: stopStreams.signal })
  onShutdown(log, async () => {
    server.close()
    stopStreams.abort()
    const impatience = setTimeout(() => server.closeAllConnections(), requestGraceMs)
    server.closeIdleConnections()
    await once(server, 'close')
    clearTimeout(impatience)
    stopBus.abort()
    await bus?.close()
    kube.close()
  })
  server.listen(settings.listen.port, settings.listen.host)
  await once(server, 'listening')
  log.info(settings.listen, 'serving')
} catch (error) {
  log.fatal({ err: error }, 'start failed')
  process.exit(1)
}
