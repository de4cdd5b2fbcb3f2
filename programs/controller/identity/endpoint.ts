import { getConnInfo } from '@hono/node-server/conninfo'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { ClawError, toClawError } from '#core/errors'
import { identityRequest, type SigningKeys } from '#core/identity'
import type { Kube } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { issue } from './issue.ts'
import { RateLimit } from './rate.ts'
import { whoCalls } from './who.ts'

export interface EndpointOptions {
  kube: Kube
  keys: SigningKeys
  systemNamespace: string
  log: Logger
  /** Whether the controller has seen the cluster and made the streams. */
  ready: () => boolean
  now?: () => Date
}

/** Longest body and longest bearer token, bytes. */
const maxBody = 4096
const maxToken = 16_384
/** Trades under way at once; each costs the API server up to four requests. */
const maxInFlight = 64

/** The one place where a projected token is traded for an identity, and the health of the controller. */
export function identityEndpoint(options: EndpointOptions): Hono {
  const { log, ready, now = () => new Date() } = options
  // Generous, because behind one address there may be a whole machine of pods.
  const rate = new RateLimit({ perSecond: 20, burst: 100 })
  let inFlight = 0
  const app = new Hono()
  app.get('/healthz', (c) => c.text('ok'))
  app.get('/readyz', (c) => (ready() ? c.text('ok') : c.text('starting', 503)))

  const tooLarge = () => {
    throw new ClawError('too_large', `the body is longer than ${maxBody} bytes`)
  }
  app.post('/v1/identity', bodyLimit({ maxSize: maxBody, onError: tooLarge }), async (c) => {
    const address = getConnInfo(c).remote.address ?? ''
    if (inFlight >= maxInFlight || !rate.take(address)) throw new ClawError('too_many', 'too many trades; try again')
    const token = c.req.header('authorization')?.match(/^Bearer (\S+)$/)?.[1]
    if (!token || token.length > maxToken) throw new ClawError('unauthenticated', 'a bearer token is required')
    const body = identityRequest.safeParse(await c.req.json().catch(() => undefined))
    if (!body.success) throw new ClawError('invalid', 'the body must be {userPublicKey}', { field: 'userPublicKey' })
    inFlight++
    try {
      const caller = await whoCalls(options.kube, token, options.systemNamespace)
      const answer = issue(options.keys, caller, body.data.userPublicKey, now())
      log.info({ caller: caller.kind, ...('address' in caller ? caller.address : {}) }, 'identity issued')
      return c.json(answer)
    } finally {
      inFlight--
    }
  })

  app.notFound((c) => c.json(problem(new ClawError('not_found', 'there is nothing here')), 404))
  app.onError((error) => {
    const known = toClawError(error, 'internal', 'identity')
    // A fault of ours is told in the log, not to whoever asked.
    const shown = known.code === 'internal' ? new ClawError('internal', 'a fault of ours; see the log') : known
    log.warn({ err: error, code: known.code }, 'identity refused')
    return new Response(JSON.stringify(problem(shown)), {
      status: known.status,
      headers: { 'content-type': 'application/problem+json' },
    })
  })
  return app
}

function problem(error: ClawError) {
  return { type: 'about:blank', title: error.code, code: error.code, status: error.status, detail: error.message }
}
