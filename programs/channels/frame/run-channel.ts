import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { type Bus, connectBus, tradeIdentity } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { parseEnvironment, settingsOrExit } from '#core/settings'
import { createLogger, type Logger, onShutdown, serveMetrics } from '#core/telemetry'
import { Bringer } from './bringer.ts'
import { Caller } from './caller.ts'
import { HealthBoard, wordOf } from './health.ts'
import { hostOf } from './inbox.ts'
import { memoryOf } from './memory.ts'
import { emptyOutbox } from './outbox.ts'
import type { ChatService, Host, Memory } from './port.ts'
import { waitForSecret } from './refused-secret.ts'
import { secretChanged } from './secret-watch.ts'
import { channelServer } from './server.ts'
import { isRefusal } from './service-error.ts'
import { readSettings } from './settings.ts'
import { Speaker } from './speaker.ts'

export interface ChannelProgram<T extends z.ZodRawShape> {
  /** `telegram`, `slack`, ... */
  type: string
  /** The variables of the service, which are the keys of the channel's Secret. */
  variables: z.ZodObject<T>
  /** The bot's own token. */
  token: (variables: z.output<z.ZodObject<T>>) => string
  service: (variables: z.output<z.ZodObject<T>>, log: Logger) => ChatService
}

/** Within the grace period of a pod: a message that is being posted gets this long to be accepted and remembered. */
const graceMs = 5_000
const firstBackOffMs = 1_000
const maxBackOffMs = 60_000
/** A connection that held this long was a good one. */
const goodMs = 60_000

/** A channel as a program, from its environment to SIGTERM. */
export async function runChannel<T extends z.ZodRawShape>(program: ChannelProgram<T>): Promise<void> {
  const name = `channel-${program.type}`
  const settings = settingsOrExit(name, readSettings)
  const log = createLogger(name)
  const bot = botOf(program, settings.secretDir !== undefined, log)
  const names = Object.keys(program.variables.shape)
  const closing = new AbortController()
  const ended = new AbortController()
  const bye = new AbortController()
  const { promise: done, resolve: isDone } = Promise.withResolvers<void>()
  const stop = async () => {
    closing.abort()
    const impatience = setTimeout(() => ended.abort(), graceMs)
    await done
    clearTimeout(impatience)
    bye.abort()
  }
  onShutdown(log, stop)
  try {
    await serveMetrics(settings.metrics, log)
    const { channel, secretDir, listen } = settings
    const identity = tradeIdentity(settings.identity)
    let bus: Bus | undefined
    closing.signal.addEventListener('abort', () => bus ?? bye.abort())
    if ('why' in bot) {
      await waitForSecret({ settings, names, why: bot.why }, closing.signal, log)
      if (!closing.signal.aborted) process.exit(0)
      isDone()
      return
    }
    const { service, secret } = bot
    const server = channelServer(service, () => bus?.connected ?? false, log)
    server.listen(listen.port, listen.host)
    await once(server, 'listening')
    bus = await connectBus({
      url: settings.busUrl,
      trust: settings.trust,
      credentials: () => identity.credentials(),
      name,
      signal: bye.signal,
      log,
    })
    const secrets = names.filter((key) => !key.endsWith('_URL')).flatMap((key) => process.env[key] || [])
    const health = new HealthBoard({ bus, channel, secrets, signal: bye.signal })
    const host = hostOf({ bus, channel, health, secret, signal: closing.signal })
    const memory = memoryOf({ bus, channel, signal: closing.signal })
    const caller = new Caller({ service, health, closing: closing.signal, ended: ended.signal })
    const bringer = new Bringer({ bus, channel, service, ended: ended.signal })
    const speaker = new Speaker({ bus, channel, caller, bringer, format: service.format, ended: ended.signal })
    if (secretDir !== undefined) {
      void secretChanged({ dir: secretDir, env: process.env, names, signal: closing.signal }).then(() => {
        log.info('the Secret has changed; beginning anew')
        void stop().then(() => process.exit(0))
      })
    }
    log.info({ ...channel, ...listen }, 'serving')
    await Promise.all([
      stayConnected({ service, host, memory, health }, closing.signal, log),
      emptyOutbox({ bus, channel, speaker, signal: closing.signal }),
    ])
    await speaker.close()
    server.close()
    server.closeAllConnections()
    isDone()
  } catch (error) {
    if (!closing.signal.aborted) {
      log.fatal({ err: error }, 'channel failed')
      process.exit(1)
    }
    isDone()
  }
}

/**
 * The service as the Secret says, or why that is not to be had. Where nobody looks for another Secret that is one
 * sentence and the end.
 */
function botOf<T extends z.ZodRawShape>(program: ChannelProgram<T>, mayWait: boolean, log: Logger) {
  const read = (env: NodeJS.ProcessEnv) => {
    const variables = parseEnvironment(program.variables, env)
    return { service: program.service(variables, log), secret: program.token(variables) }
  }
  if (!mayWait) return settingsOrExit(`channel-${program.type}`, read)
  try {
    return read(process.env)
  } catch (error) {
    if (!isClawError(error, 'invalid')) throw error
    return { why: error.message }
  }
}

/** Receives, and begins anew where that ends, until the signal aborts. */
async function stayConnected(
  { service, host, memory, health }: { service: ChatService; host: Host; memory: Memory; health: HealthBoard },
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  for (let tries = 1; !signal.aborted; tries++) {
    const began = performance.now()
    try {
      await service.connect(host, signal, memory)
      if (signal.aborted) return
    } catch (error) {
      if (signal.aborted) return
      log.warn({ error: errorMessage(error) }, 'service not connected')
      health.receiving(wordOf(error))
      if (performance.now() - began > goodMs) tries = 1
      const asked = isRefusal(error, 'later') ? error.afterMs : undefined
      const backOff = Math.min(firstBackOffMs * 2 ** (tries - 1), maxBackOffMs)
      await sleep((asked ?? backOff) * (1 + Math.random() / 2), undefined, { signal }).catch(() => {})
    }
  }
}
