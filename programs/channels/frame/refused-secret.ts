import { once } from 'node:events'
import { connectBus, tradeIdentity } from '#core/bus'
import type { Logger } from '#core/telemetry'
import { HealthBoard } from './health.ts'
import { secretChanged } from './secret-watch.ts'
import { channelServer } from './server.ts'
import type { FrameSettings } from './settings.ts'

const repeatMs = 45_000

/**
 * What a channel does whose Secret is of no use, an empty token for one: it asks no service and says why, until the
 * Secret is another or the signal aborts. Ending would help nobody, and starting again and again would hide the reason.
 */
export async function waitForSecret(
  { settings, names, why }: { settings: FrameSettings; names: readonly string[]; why: string },
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const { channel, secretDir: dir, listen, identity: traded, busUrl, trust } = settings
  if (dir === undefined || signal.aborted) return
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  log.error({ ...channel, why }, 'the Secret of the channel is refused')
  const server = channelServer({}, () => false, log)
  server.listen(listen.port, listen.host)
  await once(server, 'listening')
  const identity = tradeIdentity(traded)
  const tell = async () => {
    const bus = await connectBus({
      url: busUrl,
      trust,
      credentials: () => identity.credentials(),
      name: 'channel',
      signal,
      log,
    })
    const health = new HealthBoard({ bus, channel, secrets: [], signal })
    const word = { state: 'Error', reason: 'SecretIncomplete', message: why } as const
    health.receiving(word)
    setInterval(() => health.receiving(word), repeatMs).unref()
  }
  const telling = tell().catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  await Promise.race([
    secretChanged({ dir, env: process.env, names, signal }),
    aborted,
    telling.then(() => new Promise<never>(() => {})),
  ])
  server.close()
  server.closeAllConnections()
}
