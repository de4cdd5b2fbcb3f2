import * as z from 'zod'
import { ClawError } from '#core/errors'
import { sessions, usageReports } from '#core/kinds'
import type { Kube } from '#core/kube'
import {
  deleteSession,
  listRuns,
  listSessions,
  resetSession,
  type SessionAddress,
  type Store,
  showSession,
  usageOf,
} from '#core/store'
import { authorize } from '../callers.ts'
import { type Api, type ApiContext, serve } from '../openapi/route.ts'
import { inNamespace } from '../openapi/schemas.ts'
import { pageAfter, pageOf, pageQuery } from './pages.ts'
import { pageSchema, runRecord, session, transcript, usageRow } from './schemas.ts'

export interface SessionRouteOptions {
  kube: Kube
  /** The database, once it has been migrated. */
  store: () => Store | undefined
  now?: () => Date
}

const root = '/api/v1/namespaces/{ns}'
const tag = 'Session'
const ofInstance = pageQuery.extend({ instance: z.string().max(63).optional() })
const ofSession = ofInstance.extend({ session: z.string().max(64).optional() })
const ofOne = inNamespace.extend({ id: z.string().regex(/^[0-9a-f]{32}$/) })
const day = z.iso.date().transform((text) => new Date(text))
const period = z.object({
  instance: z.string().max(63).optional(),
  from: day.describe('The first day, in UTC.'),
  to: day.describe('The day after the last.'),
})

/** What the database remembers: conversations, the runs of which nothing else is left, and what was used. */
export function serveSessions(api: Api, options: SessionRouteOptions): void {
  const { kube, now = () => new Date() } = options
  const store = () => {
    const open = options.store()
    if (!open) throw new ClawError('unavailable', 'the database is not reachable, or there is none')
    return open
  }
  const may = (c: ApiContext, verb: string, namespace: string, { resource = sessions, name }: Of = {}) =>
    authorize(kube, c.get('token'), { verb, resource, namespace, ...(name !== undefined && { name }) })
  /** The conversation that a path names, once it is known that the caller may do this with it. */
  const at = async (c: ApiContext, verb: string, { ns, id }: z.output<typeof ofOne>): Promise<SessionAddress> => {
    await may(c, verb, ns, { name: id })
    return { namespace: ns, id }
  }

  serve(
    api,
    {
      ...{ method: 'get', path: `${root}/sessions`, operationId: 'listSessions', tag, summary: 'Conversations' },
      params: inNamespace,
      query: ofInstance,
      answers: { 200: { description: 'A page, the last used first', schema: pageSchema(session) } },
    },
    async ({ params: { ns: namespace }, query: { limit, continue: token, ...query } }, c) => {
      await may(c, 'list', namespace)
      const rows = await listSessions(store(), { ...query, namespace, limit, after: pageAfter(token) })
      return c.json(pageOf(rows, limit, (last) => ({ at: last.updatedAt, id: last.id })))
    },
  )
  serve(
    api,
    {
      ...{
        method: 'get',
        path: `${root}/sessions/{id}`,
        operationId: 'getSession',
        tag,
        summary: 'One, with all said',
      },
      params: ofOne,
      answers: { 200: { description: 'The conversation', schema: transcript } },
    },
    async ({ params }, c) => c.json(found(await showSession(store(), await at(c, 'get', params)))),
  )
  serve(
    api,
    {
      ...{ method: 'post', path: `${root}/sessions/{id}/reset`, operationId: 'resetSession', tag },
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
      ...{ method: 'delete', path: `${root}/sessions/{id}`, operationId: 'deleteSession', tag },
      summary: 'Deletes a conversation for good',
      params: ofOne,
      answers: { 204: { description: 'Transcript, run records and archived record are gone' } },
    },
    async ({ params }, c) => {
      found(await deleteSession(store(), await at(c, 'delete', params), now()))
      return c.body(null, 204)
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: `${root}/records`, operationId: 'listRecords', tag, summary: 'What is kept of runs' },
      params: inNamespace,
      query: ofSession,
      answers: { 200: { description: 'A page, the newest first', schema: pageSchema(runRecord) } },
    },
    async ({ params: { ns: namespace }, query: { limit, continue: token, ...query } }, c) => {
      await may(c, 'list', namespace)
      const rows = await listRuns(store(), { ...query, namespace, limit, after: pageAfter(token) })
      return c.json(pageOf(rows, limit, (last) => ({ at: last.startedAt, id: last.uid })))
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: `${root}/usage`, operationId: 'listUsage', tag: 'Usage', summary: 'What was used' },
      params: inNamespace,
      query: period,
      answers: { 200: { description: 'By day, instance, agent, policy and model', schema: pageSchema(usageRow) } },
    },
    async ({ params: { ns: namespace }, query }, c) => {
      await may(c, 'list', namespace, { resource: usageReports })
      return c.json({ items: await usageOf(store(), { ...query, namespace }) })
    },
  )
}

interface Of {
  resource?: typeof sessions
  name?: string
}

function found<T>(session: T | undefined | false): T {
  if (!session) throw new ClawError('not_found', 'there is no such session')
  return session
}
