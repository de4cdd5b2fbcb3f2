import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Authenticator,
  AuthorizationError,
  connect,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type TlsOptions,
  UserAuthenticationExpiredError,
} from '@nats-io/transport-node'
import { ClawError, errorMessage } from '#core/errors'
import { inboxPrefix, publicKeyOf, signWithSeed } from '#core/identity'
import type { Logger } from '#core/telemetry'
import type { Trust } from '#core/tls'
import { busConnected, busReconnects } from './metrics.ts'
import { pause } from './pause.ts'

/** What a bus user connects with. Credentials that replace these must keep the same seed: replies follow its key. */
export interface BusCredentials {
  jwt: string
  seed: string
  /** When the JWT stops being accepted; absent means never. */
  expiresAt?: Date | undefined
}

export interface BusOptions {
  /** `nats://host:port`, or `tls://host:port`, where a server that does not speak TLS is refused. */
  url: string
  /** Whom to believe there, where the URL is `tls:`; default the authorities of the system. */
  trust?: Trust
  /** Asked at start, after every lost connection, and before the credentials expire. */
  credentials: () => Promise<BusCredentials>
  /** How the logs of the bus call this client. */
  name: string
  /** Aborting it closes the connection. */
  signal: AbortSignal
  log: Logger
}

/** A connection to the bus that outlives restarts of the bus, and of its own credentials. */
export interface Bus {
  /** Whether there is a connection at this moment; for readiness. */
  readonly connected: boolean
  /** The client below; for this folder. Others use the functions of its index. */
  readonly nats: NatsConnection
  /** Prefix of the reply subjects that this identity may subscribe to. */
  readonly inboxPrefix: string
  readonly log: Logger
  readonly signal: AbortSignal
  /** Calls back after each reconnect, when whatever was asked of the server before is forgotten. */
  onReconnect(listener: () => void): () => void
  /** One request and its answer; fails at once when the connection that it went over is lost. */
  request(subject: string, payload: Uint8Array | string, head?: MsgHdrs): Promise<Msg>
  close(): Promise<void>
}

const retryMs = 250
const answerWithinMs = 5_000
/** How long before their end credentials are replaced, at most; a third of a shorter life. */
const renewAheadMs = 60_000

/**
 * Connects and stays connected until the signal aborts. Waits as long as it takes for a bus that is not there yet or
 * refuses the credentials; throws `unavailable` when the signal aborts first.
 */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const { url, name, signal, log } = options
  const holder = await Credentials.obtain(options)
  const nats = await firstConnection(options, holder)
  const listeners = new Set<() => void>()
  let connected = true
  const unwatch = busConnected.watch({}, () => Number(connected && !nats.isClosed()))
  void (async () => {
    for await (const status of nats.status()) {
      if (status.type === 'disconnect') {
        connected = false
        log.warn({ bus: url }, 'bus connection lost')
        void holder.renew()
      } else if (status.type === 'reconnect') {
        connected = true
        busReconnects.add({})
        log.info({ bus: url }, 'bus connection restored')
        // A copy: a listener may send a request, which waits for the next loss of the connection, not for this one.
        for (const listener of [...listeners]) listener()
      } else if (status.type === 'error') {
        log.warn({ err: status.error }, 'bus refused')
        if (isAuthError(status.error)) void holder.renew()
      }
    }
  })()
  log.info({ bus: url, client: name }, 'bus connected')
  const close = async () => {
    const wasConnected = connected
    connected = false
    unwatch()
    holder.stop()
    signal.removeEventListener('abort', onAbort)
    if (nats.isClosed()) return
    // What was handed over without waiting, such as acknowledgements, gets a moment to leave.
    if (wasConnected) await Promise.race([nats.flush().catch(() => {}), sleep(500, undefined, { ref: false })])
    await nats.close()
  }
  const onAbort = () => void close()
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) await close()
  return {
    get connected() {
      return connected && !nats.isClosed()
    },
    nats,
    inboxPrefix: inboxPrefix(publicKeyOf(holder.current.seed)),
    log,
    signal,
    onReconnect(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async request(subject, payload, head) {
      const lost = Promise.withResolvers<never>()
      const forget = () =>
        lost.reject(new ClawError('unavailable', `the connection was lost before ${subject} answered`))
      listeners.add(forget)
      try {
        const asked = nats.request(subject, payload, { timeout: answerWithinMs, ...(head && { headers: head }) })
        return await Promise.race([asked, lost.promise])
      } finally {
        listeners.delete(forget)
      }
    },
    close,
  }
}

async function firstConnection(options: BusOptions, holder: Credentials): Promise<NatsConnection> {
  const { url, name, signal, log } = options
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await connect({
        servers: url,
        name,
        authenticator: holder.authenticator,
        inboxPrefix: inboxPrefix(publicKeyOf(holder.current.seed)),
        ...secured(options),
        // A stack for each request costs more than the request; what fails is named by its subject.
        noAsyncTraces: true,
        // Names are the system's to resolve: pods of runs have a hosts file and no DNS.
        resolve: false,
        maxReconnectAttempts: -1,
        reconnectTimeWait: retryMs,
        reconnectJitter: retryMs / 2,
        ignoreAuthErrorAbort: true,
        pingInterval: 10_000,
        maxPingOut: 2,
        timeout: 5_000,
      })
    } catch (error) {
      if (attempt % 20 === 1) log.warn({ bus: url, error: errorMessage(error) }, 'bus not reachable yet')
      if (isAuthError(error)) await holder.renew()
      await pause(retryMs * Math.min(attempt, 8), signal)
    }
  }
}

/**
 * The client's TLS options, which it hands on to node:tls; it reads `caFile` at each connect. It gives no name to verify
 * where the server is not one that another told it of, and node:tls would take `localhost` for an address: so the host.
 */
function secured({ url, trust }: BusOptions): { tls?: TlsOptions } {
  const { protocol, hostname } = new URL(url)
  if (protocol !== 'tls:') return {}
  const tls = { ...trust, host: hostname.replace(/^\[|\]$/g, '') }
  return { tls }
}

function isAuthError(error: unknown): boolean {
  return error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError
}

/** The newest credentials, renewed before they end; the client asks for them synchronously at each connect. */
class Credentials {
  current: BusCredentials
  readonly #options: BusOptions
  #timer: NodeJS.Timeout | undefined
  #renewing: Promise<void> | undefined

  private constructor(options: BusOptions, first: BusCredentials) {
    this.#options = options
    this.current = first
    this.#schedule()
  }

  static async obtain(options: BusOptions): Promise<Credentials> {
    for (let attempt = 1; ; attempt++) {
      options.signal.throwIfAborted()
      try {
        return new Credentials(options, await options.credentials())
      } catch (error) {
        if (error instanceof ClawError && !error.retryable) throw error
        if (attempt % 20 === 1) options.log.warn({ error: errorMessage(error) }, 'no bus credentials yet')
        await pause(retryMs * Math.min(attempt, 8), options.signal)
      }
    }
  }

  readonly authenticator: Authenticator = (nonce) => {
    const { jwt, seed } = this.current
    const signature = signWithSeed(seed, Buffer.from(nonce ?? ''))
    return { jwt, nkey: publicKeyOf(seed), sig: signature.toString('base64') }
  }

  /** Asks for new credentials; a failure keeps the present ones and tries again before they end, or at the next need. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renew(): Promise<void> {
    const { credentials, log } = this.#options
    try {
      const next = await credentials()
      if (next.seed !== this.current.seed) throw new ClawError('internal', 'renewed bus credentials have another key')
      this.current = next
    } catch (error) {
      log.warn({ error: errorMessage(error) }, 'bus credentials not renewed')
    }
    this.#schedule()
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    const { expiresAt } = this.current
    if (!expiresAt || this.#options.signal.aborted) return
    const left = expiresAt.getTime() - Date.now()
    const ahead = Math.min(renewAheadMs, left / 3)
    // setTimeout takes 2^31-1 ms at most; waking early only renews early.
    this.#timer = setTimeout(() => void this.renew(), Math.min(Math.max(left - ahead, 1_000), 2 ** 31 - 1))
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
