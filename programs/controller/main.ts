/**
 * The controller: reconciles the four kinds, starts runs and follows them to their outcome, and answers the identity
 * endpoint. `mint-keys` makes the keys of the bus once, with `--tls` the certificates of the servers too, with
 * `--database` the password of the database, and exits. It promises that what it decided is in the object before it acts
 * on it; it refuses to judge calls, which is the bridge's part.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { connectBus, ensureStreams } from '#core/bus'
import { ClawError, errorMessage, isClawError } from '#core/errors'
import { createUserKey, readBusKeys, type SigningKeys, signBusUser } from '#core/identity'
import type { KubeObject } from '#core/kinds'
import { type Kube, loadKube, namespaces, whileLeading } from '#core/kube'
import { settingsOrExit } from '#core/settings'
import { createLogger, onShutdown, serveMetrics } from '#core/telemetry'
import { httpServer } from '#core/tls'
import { runCanary } from './canary/main.ts'
import { identityEndpoint } from './identity/endpoint.ts'
import { publishTokenKey } from './identity/publish-key.ts'
import { runManager } from './manager.ts'
import { mintBusSecret, mintDatabaseSecret, mintTlsSecret } from './mint-keys.ts'
import { keysNamespace, readSettings, type Settings } from './settings.ts'

const log = createLogger('controller')
const retryMs = 1000
const leaseName = 'k8sclaw-controller'
/** How long the controller's own bus identity is good for; it signs itself another in time. */
const busIdentityMs = 60 * 60_000

async function main([command, ...rest]: string[]): Promise<void> {
  if (command === 'canary') return await look(rest)
  const known = command === 'mint-keys' && rest.every((flag) => flag === '--tls' || flag === '--database')
  if (command === undefined ? rest.length > 0 : !known) {
    console.error('usage: controller [mint-keys [--tls] [--database] | canary --open HOST:PORT --closed HOST:PORT]')
    process.exitCode = 2
    return
  }
  if (command === 'mint-keys') {
    const namespace = settingsOrExit('controller', keysNamespace)
    const kube = await loadKube()
    await mintBusSecret(kube, namespace, log)
    if (rest.includes('--tls')) await mintTlsSecret(kube, namespace, log)
    if (rest.includes('--database')) await mintDatabaseSecret(kube, namespace, log)
    return
  }
  await manage(settingsOrExit('controller', readSettings))
}

/** In a namespace of a tenant, as a run would stand there: no settings, no API, no bus. */
async function look(args: string[]): Promise<void> {
  try {
    const { exitCode, message } = await runCanary(args)
    console.error(message)
    process.exitCode = exitCode
  } catch (error) {
    if (!isClawError(error, 'invalid')) throw error
    console.error(`canary: ${error.message}`)
    process.exitCode = 2
  }
}

/**
 * Every replica answers the identity endpoint; the one that holds the lease reconciles. Ready is who leads and has seen
 * everything once, or stands by. A leader that cannot renew ends the process, in the midst of whatever it does.
 */
async function manage({
  systemNamespace,
  replica,
  listen,
  metrics,
  busKeysDir,
  tlsDir,
  trust,
  platform,
  job,
  channelImages,
  startDeadlineMs,
  canary,
  externalBus,
  busReplicas,
}: Settings): Promise<void> {
  await serveMetrics(metrics, log)
  const kube = await loadKube()
  const server = { close: () => {} }
  const signal = onShutdown(log, async () => {
    server.close()
    await running
  })
  const state = { ready: false }
  const run = async () => {
    const keys = await patiently(() => readBusKeys(busKeysDir), signal, 'waiting for the keys of the bus')
    const endpoint = identityEndpoint({ kube, keys, systemNamespace, log, ready: () => state.ready })
    const http = httpServer({}, tlsDir === undefined ? undefined : { dir: tlsDir, log })
    const answer = getRequestListener(endpoint.fetch)
    http.on('request', (request, response) => void answer(request, response))
    http.on('error', fail)
    http.listen(listen.port, listen.host, () => log.info({ address: listen.host, port: listen.port }, 'listening'))
    server.close = () => http.close()
    await patiently(
      () => publishTokenKey(kube, systemNamespace, keys['run-token.public.pem']),
      signal,
      'waiting for the API',
    )
    const bus = await connectBus({
      url: job.busUrl,
      trust,
      name: 'controller',
      signal,
      log,
      credentials: ownIdentity(keys),
    })
    const owner = await patiently(() => clusterUid(kube), signal, 'waiting for the API')
    await patiently(() => ensureStreams(bus, { replicas: busReplicas, owner }), signal, 'waiting for the bus')
    const onReady = () => {
      state.ready = true
      log.info('ready')
    }
    const lease = { name: leaseName, namespace: systemNamespace }
    await whileLeading({ kube, lease, identity: replica, signal, log, onStandby: onReady }, (leading) =>
      runManager({
        kube: leading,
        bus,
        systemNamespace,
        platform,
        settings: job,
        channelImages,
        startDeadlineMs,
        canary,
        externalBus,
        log,
        signal,
        onReady,
      }),
    )
    await bus.close()
  }
  const running = run().catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  await running
}

/** Of a cluster there is no other name than the uid of the namespace that lasts as long. */
async function clusterUid(kube: Kube): Promise<string> {
  const { metadata } = await kube.get<KubeObject>(namespaces, { name: 'kube-system' })
  if (!metadata.uid) throw new ClawError('internal', 'the namespace kube-system has no uid')
  return metadata.uid
}

/** The controller signs its own bus identity: it holds the signing key in any case. */
function ownIdentity(keys: SigningKeys) {
  const key = createUserKey()
  return async () => {
    const expiresAt = new Date(Date.now() + busIdentityMs)
    const identity = { kind: 'controller' } as const
    const jwt = signBusUser({ keys, userPublicKey: key.publicKey, name: 'controller', identity, expiresAt })
    return { jwt, seed: key.seed, expiresAt }
  }
}

/** Tries until it works or the signal aborts: at the start of a cluster everything waits for something. */
async function patiently<T>(attempt: () => Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      const level = isClawError(error, 'not_ours') ? 'error' : 'info'
      if (tries % 30 === 0) log[level]({ why: errorMessage(error) }, what)
    }
    await sleep(retryMs, undefined, { signal })
  }
}

function fail(error: unknown): void {
  log.fatal({ err: error }, 'controller failed')
  process.exit(1)
}

main(process.argv.slice(2)).catch(fail)
