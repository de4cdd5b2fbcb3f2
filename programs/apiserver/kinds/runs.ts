import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import * as z from 'zod'
import { type AgentRun, agentRunSpec, agentRunStatus, agentRuns, newRun, phases } from '#core/kinds'
import { type Kube, untilJudged } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { type Api, type ApiContext, describe, serve } from '../openapi/route.ts'
import { inNamespace, listQuery, objectOf, ofObject, pageOf, specOf } from '../openapi/schemas.ts'
import { cancelRequest, runRequest } from '../requests.ts'
import { serveEvents } from '../sse.ts'
import type { Streams } from '../streams.ts'
import { createOnce } from './idempotency.ts'

export interface RunOptions {
  kube: Kube
  streams: Streams
  log: Logger
}

const object = objectOf(agentRuns.kind, specOf(agentRuns.kind, agentRunSpec), agentRunStatus)
const tag = agentRuns.kind
const collection = '/api/v1/namespaces/{ns}/runs'
const each = `${collection}/{name}`

const runQuery = listQuery.extend({
  instance: z
    .string()
    .max(63)
    .optional()
    .describe('Only runs of this instance; a page may then hold fewer than it could.'),
  phase: z.enum(phases).optional().describe('Only runs in this phase; a run that nobody has looked at yet is Pending.'),
})
/** The header by which asking twice is asking once. */
export const idempotency = z.object({
  'idempotency-key': z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 visible ASCII characters')
    .optional()
    .describe('Of one caller and namespace: asking again with it gives the run that was made at first.'),
})
const cursor = z.string().max(128).optional()

/** Runs: made, looked at, cancelled and deleted with the caller's own token, and followed by who may get them. */
export function serveRuns(api: Api, { kube, streams, log }: RunOptions): void {
  const as = (c: ApiContext) => kube.withToken(c.get('token'), c.get('reading'))

  serve(
    api,
    {
      ...{ method: 'get', path: collection, operationId: 'listRuns', tag, summary: 'The AgentRuns' },
      params: inNamespace,
      query: runQuery,
      answers: { 200: { description: 'A page of them', schema: pageOf(object) } },
    },
    async ({ params: { ns }, query: { labelSelector, instance, phase, ...where } }, c) => {
      const selection = { namespace: ns, labelSelector, signal: c.req.raw.signal }
      const page = await as(c).page<AgentRun>(agentRuns, selection, where)
      const items = page.items.filter(
        ({ spec, status }) =>
          (instance === undefined || spec.instanceRef.name === instance) &&
          (phase === undefined || (status?.phase ?? 'Pending') === phase),
      )
      return c.json({ ...page, items })
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: each, operationId: 'getRun', tag, summary: 'One AgentRun' },
      params: ofObject,
      answers: { 200: { description: 'As Kubernetes has it', schema: object } },
    },
    async ({ params: { ns: namespace, name } }, c) => c.json(await as(c).get(agentRuns, { namespace, name })),
  )
  serve(
    api,
    {
      ...{ method: 'post', path: collection, operationId: 'createRun', tag, summary: 'Asks for a run' },
      params: inNamespace,
      headers: idempotency,
      body: runRequest,
      answers: {
        201: { description: 'The AgentRun that was created', schema: object },
        200: { description: 'The AgentRun that an earlier request with this key created', schema: object },
      },
    },
    async ({ params: { ns }, headers: { 'idempotency-key': key }, body }, c) => {
      const wanted = newRun(ns, body)
      if (key === undefined) return c.json(await untilJudged(() => as(c).create(agentRuns, wanted)), 201)
      const { run, created } = await createOnce(as(c), wanted, { username: c.get('username'), key })
      return c.json(run, created ? 201 : 200)
    },
  )
  serve(
    api,
    {
      ...{ method: 'patch', path: each, operationId: 'cancelRun', tag, summary: 'Ends a run' },
      params: ofObject,
      body: cancelRequest,
      answers: { 200: { description: 'The AgentRun; it ends soon', schema: object } },
    },
    async ({ params: { ns: namespace, name }, body: { cancel } }, c) => {
      return c.json(await untilJudged(() => as(c).patch(agentRuns, { namespace, name }, { spec: { cancel } })))
    },
  )
  serve(
    api,
    {
      ...{ method: 'delete', path: each, operationId: 'deleteRun', tag, summary: 'Deletes a run and its record' },
      params: ofObject,
      answers: { 204: { description: 'It is being deleted' } },
    },
    async ({ params: { ns: namespace, name } }, c) => {
      await as(c).delete(agentRuns, { namespace, name })
      return c.body(null, 204)
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: `${each}/events`, operationId: 'followRun', tag, summary: 'The events of a run' },
      params: ofObject,
      query: z.object({ after: cursor.describe('Id of the last event the caller has; the header says it too.') }),
      headers: z.object({ 'last-event-id': cursor }),
      answers: {
        200: { description: 'Server-sent events until the outcome', type: 'text/event-stream' },
        204: { description: 'There is nothing behind that event' },
      },
    },
    async ({ params: { ns: namespace, name }, query, headers }, c) => {
      const after = headers['last-event-id'] ?? query.after
      const stream = await streams.open({ token: c.get('token'), namespace, name, after })
      serveEvents(c.env.outgoing, stream).catch((error: unknown) => {
        log.error({ err: error }, 'events failed')
        c.env.outgoing.destroy()
      })
      return RESPONSE_ALREADY_SENT
    },
  )
  // Upgrades never come here: the server itself gives them to websocket.ts.
  describe(api, {
    ...{ method: 'get', path: `${each}/stream`, operationId: 'streamRun', tag, summary: 'The same over a WebSocket' },
    params: ofObject,
    query: z.object({ after: cursor.describe('Id of the last event the caller has.') }),
    answers: { 101: { description: 'Each frame is one event; closed with 1000 after the outcome' } },
  })
}
