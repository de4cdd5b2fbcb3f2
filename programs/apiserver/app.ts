import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'
import { ClawError } from '#core/errors'
import { agentRuns, clawInstances, newRun } from '#core/kinds'
import type { Kube } from '#core/kube'
import type { Store } from '#core/store'
import type { Logger } from '#core/telemetry'
import { readBody } from './body.ts'
import { tokenOf } from './callers.ts'
import { problemOf, problemType } from './problem.ts'
import { cancelRequest, runRequest } from './requests.ts'
import { serveSessions } from './sessions/routes.ts'
import { serveEvents } from './sse.ts'
import type { Streams } from './streams.ts'

export interface AppOptions {
  /** The API server's own access; for a caller's requests only the caller's token is used. */
  kube: Kube
  streams: Streams
  /** The database, once it is there and migrated; undefined for ever where there is none. */
  store: () => Store | undefined
  ready: () => boolean
  log: Logger
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/** The HTTP API (docs/api.md). Every path but the two of health wants a token, before anything else is looked at. */
export function apiApp({ kube, streams, store, ready, log }: AppOptions) {
  const app = new Hono<{ Bindings: HttpBindings }>()
  app.get('/healthz', (c) => c.text('ok'))
  app.get('/readyz', (c) => (ready() ? c.text('ok') : c.text('not connected to the bus yet', 503)))

  app.use(async (c, next) => {
    tokenOf(credentialsOf(c))
    await next()
    c.header('Cache-Control', 'no-store')
    c.header('X-Content-Type-Options', 'nosniff')
  })
  const as = (c: Context) => kube.withToken(tokenOf(credentialsOf(c)))

  for (const [path, resource] of [
    ['instances', clawInstances],
    ['runs', agentRuns],
  ] as const) {
    app.get(`/api/v1/namespaces/:ns/${path}`, async (c) => {
      return c.json(await as(c).list(resource, { namespace: namespaceOf(c), signal: c.req.raw.signal }))
    })
    app.get(`/api/v1/namespaces/:ns/${path}/:name`, async (c) => c.json(await as(c).get(resource, objectOf(c))))
  }
  app.post('/api/v1/namespaces/:ns/runs', async (c) => {
    const run = newRun(namespaceOf(c), await readBody(c, runRequest))
    return c.json(await as(c).create(agentRuns, run), 201)
  })
  app.patch('/api/v1/namespaces/:ns/runs/:name', async (c) => {
    const { cancel } = await readBody(c, cancelRequest)
    return c.json(await as(c).patch(agentRuns, objectOf(c), { spec: { cancel } }))
  })
  app.delete('/api/v1/namespaces/:ns/runs/:name', async (c) => {
    await as(c).delete(agentRuns, objectOf(c))
    return c.body(null, 204)
  })
  app.get('/api/v1/namespaces/:ns/runs/:name/events', async (c) => {
    const after = c.req.header('last-event-id') ?? c.req.query('after')
    const { namespace, name } = objectOf(c)
    const stream = await streams.open({ token: tokenOf(credentialsOf(c)), namespace, name, after })
    serveEvents(c.env.outgoing, stream).catch((error: unknown) => {
      log.error({ err: error }, 'events failed')
      c.env.outgoing.destroy()
    })
    return RESPONSE_ALREADY_SENT
  })

  serveSessions(app, { kube, store, token: (c) => tokenOf(credentialsOf(c)), namespace: namespaceOf })

  app.notFound((c) => refusal(new ClawError('not_found', `there is nothing at ${c.req.method} ${c.req.path}`)))
  app.onError((error, c) => {
    const answer = refusal(error)
    const fields = { method: c.req.method, path: c.req.path, status: answer.status }
    if (answer.status >= 500) log.error({ ...fields, err: error }, 'request failed')
    else log.debug({ ...fields, err: error }, 'request refused')
    return answer
  })
  return app
}

function credentialsOf(c: Context) {
  return { authorization: c.req.header('authorization'), proxied: c.req.header('x-k8sclaw-authorization') }
}

function namespaceOf(c: Context): string {
  return checkedName('namespace', c.req.param('ns'))
}

function objectOf(c: Context): { namespace: string; name: string } {
  return { namespace: namespaceOf(c), name: checkedName('name', c.req.param('name')) }
}

/** A name that Kubernetes could have: nothing else may become part of a path that is asked for. */
export function checkedName(field: string, text: string | undefined): string {
  if (text && text.length <= 253 && subdomain.test(text)) return text
  throw new ClawError('invalid', `${field}: not a name that Kubernetes allows`, { field })
}

function refusal(error: unknown): Response {
  const { status, body } = problemOf(error)
  const headers: Record<string, string> = { 'content-type': problemType }
  if (status === 401) headers['www-authenticate'] = 'Bearer'
  return new Response(body, { status, headers })
}
