import { OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { Kube } from '#core/kube'
import type { Store } from '#core/store'
import type { Logger } from '#core/telemetry'
import type { BrowserSessions } from './browser/cookie.ts'
import { serveBrowserSessions, serveSessionEnd } from './browser/routes.ts'
import { type ChannelRouteOptions, serveChannels } from './channels/routes.ts'
import { guard } from './guard.ts'
import { serveObjects } from './kinds/objects.ts'
import { serveRuns } from './kinds/runs.ts'
import type { LargeAnswers } from './limits/large-answers.ts'
import type { Throttle } from './limits/throttle.ts'
import { measured } from './measure.ts'
import { type MeaningOf, serveMemories } from './memory/routes.ts'
import { describeOpenAi } from './openai/document.ts'
import { openAiApp } from './openai/routes.ts'
import { openApiDocument } from './openapi/document.ts'
import { type Api, type ApiEnv, serve } from './openapi/route.ts'
import { refusal } from './problem.ts'
import type { Prices } from './sessions/prices.ts'
import { serveSessions } from './sessions/routes.ts'
import type { Streams } from './streams.ts'

export interface AppOptions {
  /** The API server's own access; for a caller's requests only the caller's token is used. */
  kube: Kube
  bus: ChannelRouteOptions['bus']
  streams: Streams
  /** The database, once it is there and migrated; undefined for ever where there is none. */
  store: () => Store | undefined
  /** Of a text, where it is to be had. */
  meaning: MeaningOf
  prices: Prices
  browsers: BrowserSessions
  throttle: Throttle
  answers: LargeAnswers
  ready: () => boolean
  log: Logger
}

/** The HTTP API (docs/api.md). Every path but those of `serveOpenly` wants a token, before anything else is looked at. */
export function apiApp(options: AppOptions): Api {
  const { kube, streams, log } = options
  const app: Api = new OpenAPIHono<ApiEnv>()
  app.use(measured)
  serveOpenly(app, options)

  // Before the rest, whose refusals have another shape.
  app.route('/v1', openAiApp({ kube, streams, log, guard: guard(options) }))
  describeOpenAi(app)

  app.use(guard(options))
  serveBrowserSessions(app, options)
  serveObjects(app, options)
  serveRuns(app, options)
  serveSessions(app, options)
  serveMemories(app, options)
  serveChannels(app, options)

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

/** What is for everybody: whether the server lives, whether it serves, and what it serves. None of it is a secret. */
function serveOpenly(app: Api, { ready, browsers }: AppOptions): void {
  const text = { type: 'text/plain' }
  const open = true
  serve(
    app,
    {
      ...{
        method: 'get',
        path: '/healthz',
        operationId: 'getHealth',
        tag: 'Server',
        open,
        summary: 'Whether it lives',
      },
      answers: { 200: { description: 'It does', ...text } },
    },
    (_, c) => c.text('ok'),
  )
  serve(
    app,
    {
      ...{
        method: 'get',
        path: '/readyz',
        operationId: 'getReadiness',
        tag: 'Server',
        open,
        summary: 'Whether it serves',
      },
      answers: {
        200: { description: 'It is connected to the bus', ...text },
        503: { description: 'Not yet', ...text },
      },
    },
    (_, c) => (ready() ? c.text('ok') : c.text('not connected to the bus yet', 503)),
  )
  let document: ReturnType<typeof openApiDocument> | undefined
  serve(
    app,
    {
      ...{ method: 'get', path: '/openapi.json', operationId: 'getApi', tag: 'Server', open, summary: 'This document' },
      answers: { 200: { description: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
    },
    (_, c) => {
      document ??= openApiDocument(app)
      return c.json(document)
    },
  )
  serveSessionEnd(app, browsers)
}
