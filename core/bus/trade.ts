import { readFile } from 'node:fs/promises'
import { ClawError } from '#core/errors'
import { createUserKey, identityResponse } from '#core/identity'
import type { BusCredentials } from './bus.ts'

export interface TradeOptions {
  /** Base address of the identity endpoint (K8SCLAW_IDENTITY_URL). */
  url: string
  /** Path of the projected token; read again at each trade, because the kubelet replaces it. */
  tokenFile: string
  fetch?: typeof fetch
  now?: () => Date
}

export interface TradedIdentity {
  credentials: BusCredentials
  /** Runs only. */
  runToken: string | undefined
  expiresAt: Date
}

/** An identity that is traded when it is first wanted and again before it ends. */
export interface IdentitySource {
  /** For `connectBus`. */
  credentials(): Promise<BusCredentials>
  /** For requests to the gateway. Throws `forbidden` where the identity is not a run's. */
  runToken(): Promise<string>
  current(): Promise<TradedIdentity>
}

/** An identity is traded again when less than this part of its life is left. */
const renewBelow = 1 / 3

/**
 * Trades this pod's projected token for a bus identity, with a user key made here, whose seed stays here. Errors of a
 * trade: `unavailable` (try again), `unauthenticated` or `forbidden` as the endpoint answered.
 */
export function tradeIdentity(options: TradeOptions): IdentitySource {
  const now = options.now ?? (() => new Date())
  const key = createUserKey()
  let held: { identity: TradedIdentity; tradedAt: number } | undefined
  let trading: Promise<TradedIdentity> | undefined

  const fresh = () => {
    if (!held) return undefined
    const left = held.identity.expiresAt.getTime() - now().getTime()
    const life = held.identity.expiresAt.getTime() - held.tradedAt
    return left > life * renewBelow ? held.identity : undefined
  }
  const tradeNow = async () => {
    const tradedAt = now().getTime()
    const identity = await trade(options, key)
    held = { identity, tradedAt }
    return identity
  }
  const current = async (): Promise<TradedIdentity> => {
    const good = fresh()
    if (good) return good
    trading ??= tradeNow().finally(() => {
      trading = undefined
    })
    return trading
  }
  return {
    current,
    credentials: async () => (await current()).credentials,
    runToken: async () => {
      const { runToken } = await current()
      if (runToken === undefined) throw new ClawError('forbidden', 'this identity is not the identity of a run')
      return runToken
    },
  }
}

async function trade(options: TradeOptions, key: { publicKey: string; seed: string }): Promise<TradedIdentity> {
  const unavailable = (why: string, cause?: unknown) =>
    new ClawError('unavailable', `the identity endpoint ${options.url} ${why}`, { cause })
  let response: Response
  try {
    const token = (await readFile(options.tokenFile, 'utf8')).trim()
    response = await (options.fetch ?? fetch)(new URL('/v1/identity', options.url), {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ userPublicKey: key.publicKey }),
      signal: AbortSignal.timeout(10_000),
      redirect: 'error',
    })
  } catch (cause) {
    throw unavailable('cannot be asked', cause)
  }
  if (response.status === 401 || response.status === 403) {
    await response.body?.cancel()
    const code = response.status === 401 ? 'unauthenticated' : 'forbidden'
    // Worth another try: at the start of a pod the endpoint may not know the pod yet.
    throw new ClawError(code, `the identity endpoint answered ${response.status}`, { retryable: true })
  }
  if (!response.ok) {
    await response.body?.cancel()
    throw unavailable(`answered ${response.status}`)
  }
  const body = identityResponse.safeParse(await response.json().catch(() => undefined))
  if (!body.success) throw unavailable('answered something else than an identity', body.error)
  const expiresAt = new Date(body.data.expiresAt)
  return {
    credentials: { jwt: body.data.busJwt, seed: key.seed, expiresAt },
    runToken: body.data.runToken,
    expiresAt,
  }
}
