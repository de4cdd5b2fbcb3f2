import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { ClawError } from '#core/errors'
import { createUserKey, identityResponse } from '#core/identity'
import { requestTo, type Trust } from '#core/tls'
import type { BusCredentials } from './bus.ts'

export interface TradeOptions {
  /** Base address of the identity endpoint (K8SCLAW_IDENTITY_URL). */
  url: string
  /** Whom to believe there, where the address is `https:`; default the authorities of the system. */
  trust?: Trust
  /** Path of the projected token; read again at each trade, because the kubelet replaces it. */
  tokenFile: string
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
  let answer: { status: number; body: string }
  try {
    const token = (await readFile(options.tokenFile, 'utf8')).trim()
    answer = await post(options, token, { userPublicKey: key.publicKey })
  } catch (cause) {
    throw unavailable('cannot be asked', cause)
  }
  const { status } = answer
  if (status === 401 || status === 403) {
    const code = status === 401 ? 'unauthenticated' : 'forbidden'
    // Worth another try: at the start of a pod the endpoint may not know the pod yet.
    throw new ClawError(code, `the identity endpoint answered ${status}`, { retryable: true })
  }
  if (status !== 200) throw unavailable(`answered ${status}`)
  const body = identityResponse.safeParse(parsed(answer.body))
  if (!body.success) throw unavailable('answered something else than an identity', body.error)
  const expiresAt = new Date(body.data.expiresAt)
  return {
    credentials: { jwt: body.data.busJwt, seed: key.seed, expiresAt },
    runToken: body.data.runToken,
    expiresAt,
  }
}

/** By node:http, which bridges load anyway: `fetch` would cost each of them another ten megabytes. Follows no redirect. */
function post(
  { url, trust = {} }: TradeOptions,
  token: string,
  body: object,
): Promise<{ status: number; body: string }> {
  const payload = JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const outgoing = requestTo(new URL('/v1/identity', url), trust, {
      method: 'POST',
      agent: false,
      signal: AbortSignal.timeout(10_000),
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(payload),
      },
    })
    outgoing.once('error', reject)
    outgoing.once('response', (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject)
    })
    outgoing.end(payload)
  })
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
