import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono, type MiddlewareHandler } from 'hono'
import { ClawError } from '#core/errors'
import { readBody } from '../body.ts'
import type { ApiContext, ApiEnv } from '../openapi/route.ts'
import { problemOf } from '../problem.ts'
import { readHeaders, readQuery } from '../query.ts'
import { Completions, type CompletionsOptions } from './completions.ts'
import { openAiError } from './errors.ts'
import { findModel, listModels } from './models.ts'
import { chatHeaders, modelsQuery } from './parameters.ts'
import { chatRequest, readChat } from './request.ts'

export interface OpenAiOptions extends CompletionsOptions {
  /** Lets in whom it knows, and puts the caller's token beside the request. */
  guard: MiddlewareHandler<ApiEnv>
}

/** Agents as models of OpenAI's API, below `/v1` (docs/openai.md). Its refusals have OpenAI's shape. */
export function openAiApp({ guard, ...options }: OpenAiOptions): Hono<ApiEnv> {
  const { kube, log } = options
  const completions = new Completions(options)
  const app = new Hono<ApiEnv>()
  const caller = (c: ApiContext) => ({
    kube,
    token: c.get('token'),
    username: c.get('username'),
    reading: c.get('reading'),
  })

  app.use(guard)
  app.get('/models', async (c) => c.json(await listModels(caller(c), readQuery(c, modelsQuery).namespace)))
  app.get('/models/:model{.+}', async (c) => c.json(await findModel(caller(c), c.req.param('model'))))
  app.post('/chat/completions', async (c) => {
    const headers = readHeaders(c, chatHeaders)
    const chat = readChat(await readBody(c, chatRequest), headers['x-k8sclaw-session'])
    const { token, username } = caller(c)
    const asked = { key: headers['idempotency-key'], whenLeft: headers['x-k8sclaw-when-left'] }
    await completions.begin({ token, username, chat, ...asked, response: c.env.outgoing })
    return RESPONSE_ALREADY_SENT
  })
  app.all('*', (c) => {
    throw new ClawError('not_found', `there is nothing at ${c.req.method} ${c.req.path}`)
  })
  app.onError((error, c) => {
    const { status, error: told } = openAiError(error)
    const fields = { method: c.req.method, path: c.req.path, status }
    if (status >= 500) log.error({ ...fields, err: error }, 'request failed')
    else log.debug({ ...fields, err: error }, 'request refused')
    const headers = { ...problemOf(error).headers, 'content-type': 'application/json' }
    return new Response(JSON.stringify({ error: told }), { status, headers })
  })
  return app
}
