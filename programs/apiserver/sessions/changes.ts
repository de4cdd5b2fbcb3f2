import * as z from 'zod'
import { isClawError } from '#core/errors'
import { type AgentRun, agentRunSpec, agentRuns } from '#core/kinds'
import type { Kube } from '#core/kube'
import {
  deleteSession,
  findSession,
  forkSession,
  listSetAside,
  rebuild,
  resetSession,
  type SessionRow,
} from '#core/store'
import { type Api, serve } from '../openapi/route.ts'
import { found, ofOne, type SessionRouteOptions, sessionAccess } from './access.ts'
import { pageOfAside, pageQuery, placeAside } from './pages.ts'
import { asideRow, pageSchema } from './schemas.ts'

const one = '/api/v1/namespaces/{ns}/sessions/{id}'
const tag = 'Session'

const forkRequest = z
  .strictObject({
    key: agentRunSpec.shape.sessionKey.unwrap().describe('`spec.sessionKey` of the runs that go on from there.'),
    through: z.string().max(64).optional().describe('uid of the last run whose turn is copied; absent copies all.'),
  })
  .meta({ id: 'ForkRequest' })

/** What people decide about conversations: to begin anew, to go on twice, to be rid of one; and what who runs the
 * platform does: to make the rows again, and to see what has none. */
export function serveSessionChanges(api: Api, options: SessionRouteOptions): void {
  const { kube, now = () => new Date() } = options
  const { at, may, store } = sessionAccess(options)

  serve(
    api,
    {
      ...{ method: 'post', path: `${one}/reset`, operationId: 'resetSession', tag },
      summary: 'Lets the next run begin without what was said',
      params: ofOne,
      answers: { 204: { description: 'It will' } },
    },
    async ({ params }, c) => {
      found(await resetSession(store(), await at(c, 'update', params), now()))
      return c.body(null, 204)
    },
  )
  serve(
    api,
    {
      ...{ method: 'post', path: `${one}/fork`, operationId: 'forkSession', tag },
      summary: 'Begins another conversation with a copy of what was said in this one',
      params: ofOne,
      body: forkRequest,
      answers: { 201: { description: 'Its id', schema: z.object({ id: z.string() }) } },
    },
    async ({ params, body }, c) => {
      const address = await at(c, 'get', params)
      await may(c, 'create', address.namespace)
      return c.json({ id: found(await forkSession(store(), address, body, now())) }, 201)
    },
  )
  serve(
    api,
    {
      ...{ method: 'delete', path: one, operationId: 'deleteSession', tag },
      summary: 'Deletes a conversation for good',
      params: ofOne,
      answers: { 204: { description: 'Its runs, transcript, run records and archived record are gone' } },
    },
    async ({ params }, c) => {
      const address = await at(c, 'delete', params)
      // First, because what is left on the bus goes with them.
      await deleteRuns(kube.withToken(c.get('token'), c.get('reading')), found(await findSession(store(), address)))
      found(await deleteSession(store(), address, now()))
      return c.body(null, 204)
    },
  )
  serve(
    api,
    {
      ...{ method: 'post', path: '/api/v1/sessions/rebuild', operationId: 'rebuildSessions', tag },
      summary: 'Makes sessions, run records and usage of all namespaces again from the archived record',
      answers: { 200: { description: 'How many entries were read', schema: z.object({ entries: z.int() }) } },
    },
    async (_, c) => {
      await may(c, 'rebuild', '')
      return c.json({ entries: await rebuild(store()) })
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: '/api/v1/sessions/set-aside', operationId: 'listSetAside', tag },
      summary: 'Entries of all namespaces that are not in the archived record, and why',
      query: pageQuery,
      answers: { 200: { description: 'A page, the newest first', schema: pageSchema(asideRow) } },
    },
    async ({ query: { limit, continue: token } }, c) => {
      await may(c, 'rebuild', '')
      return c.json(pageOfAside(await listSetAside(store(), { limit, after: placeAside(token) }), limit))
    },
  )
}

/** Deletes the AgentRuns of a conversation, those under way among them, with the rights of who asks. */
async function deleteRuns(as: Kube, { namespace, instance, key }: SessionRow): Promise<void> {
  for await (const { items } of as.pages<AgentRun>(agentRuns, { namespace })) {
    const runs = items.filter(({ spec }) => spec.instanceRef.name === instance && spec.sessionKey === key)
    for (const { metadata } of runs) {
      await as.delete(agentRuns, metadata).catch((error: unknown) => {
        if (!isClawError(error, 'not_found')) throw error
      })
    }
  }
}
