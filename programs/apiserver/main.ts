/**
 * The API server: the kinds over REST with the caller's own token, and the events of runs as server-sent events and over
 * WebSockets (docs/api.md). It promises to serve kinds while the bus is away and every reader no more than they may get;
 * it refuses to act with rights of its own.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, connectBus, tradeIdentity } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { loadKube } from '#core/kube'
import { settingsOrExit } from '#core/settings'
import { migrate, openStore, type Store } from '#core/store'
import { createLogger, onShutdown, serveMetrics } from '#core/telemetry'
import { endpointEmbedder } from './memory/endpoint.ts'
import { englishEmbedder } from './memory/english.ts'
import { MemoryPerformer } from './memory/performer.ts'
import { apiServer } from './server.ts'
import { runProjector } from './sessions/projector.ts'
import { readSettings } from './settings.ts'

const settings = settingsOrExit('apiserver', readSettings)

/** Within the grace period of a pod: requests under way get this long to end. */
const requestGraceMs = 4_000

const log = createLogger('apiserver')
let store: Store | undefined
let memory: MemoryPerformer | undefined

try {
  await serveMetrics(settings.metrics, log)
  const kube = await loadKube()
  const identity = tradeIdentity(settings.identity)
  const stopBus = new AbortController()
  const stopStreams = new AbortController()
  let bus: Bus | undefined
  const database = settings.databaseUrl === undefined ? undefined : openStore({ url: settings.databaseUrl, log })
  const connecting = connectBus({
    url: settings.busUrl,
    trust: settings.trust,
    credentials: () => identity.credentials(),
    name: 'apiserver',
    signal: stopBus.signal,
    log,
  })
  connecting.then(
    (connected) => {
      bus = connected
    },
    (error: unknown) => {
      if (stopBus.signal.aborted) return
      log.fatal({ error: errorMessage(error) }, 'no identity on the bus')
      process.exit(1)
    },
  )
  const keeping = database && keep(database, connecting, stopBus.signal)
  const server = apiServer({
    kube,
    bus: () => bus,
    store: () => store,
    meaning: async (text, signal) => await memory?.meaning.of(text, signal),
    log,
    tlsDir: settings.tlsDir,
    pricesFile: settings.pricesFile,
    signal: stopStreams.signal,
  })
  onShutdown(log, async () => {
    server.close()
    stopStreams.abort()
    const impatience = setTimeout(() => server.closeAllConnections(), requestGraceMs)
    server.closeIdleConnections()
    await once(server, 'close')
    clearTimeout(impatience)
    stopBus.abort()
    await bus?.close()
    await keeping
    await database?.close()
    kube.close()
  })
  server.listen(settings.listen.port, settings.listen.host)
  await once(server, 'listening')
  log.info(settings.listen, 'serving')
} catch (error) {
  log.fatal({ err: error }, 'start failed')
  process.exit(1)
}

/** Brings the database to this version, however long it is away, and then carries the record into it. */
async function keep(database: Store, connecting: Promise<Bus>, signal: AbortSignal): Promise<void> {
  try {
    await migrated(database, signal)
    store = database
    const embedder = settings.embeddings ? endpointEmbedder(settings.embeddings) : englishEmbedder()
    memory = new MemoryPerformer({ store, embedder, log })
    await runProjector({ store, bus: await connecting, log, signal, memory })
    await embedder.close()
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, 'the record is not kept')
  }
}

async function migrated(database: Store, signal: AbortSignal): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      const applied = await migrate(database)
      if (applied.length > 0) log.info({ applied }, 'database migrated')
      return
    } catch (error) {
      // A database of a newer version stays one.
      if (isClawError(error, 'unsupported')) throw error
      if (tries % 30 === 0) log.warn({ error: errorMessage(error) }, 'waiting for the database')
    }
    await sleep(1_000, undefined, { signal })
  }
}
