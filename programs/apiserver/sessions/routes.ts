import type { HttpBindings } from '@hono/node-server'
import type { Context, Hono } from 'hono'
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
import { readQuery } from '../query.ts'
import { pageAfter, pageOf, pageQuery } from './pages.ts'

export interface SessionRouteOptions {
  kube: Kube
  /** The database, once it has been migrated. */
  store: () => Store | undefined
  /** The caller's token; throws where there is none. */
  token: (c: Context) => string
  namespace: (c: Context) => string
  now?: () => Date
}

const ofInstance = pageQuery.extend({ instance: z.string().max(63).optional() })
const ofSession = ofInstance.extend({ session: z.string().max(64).optional() })
const day = z.iso.date().transform((text) => new Date(text))
const period = z.object({ instance: z.string().max(63).optional(), from: day, to: day })

/** What the database remembers: conversations, the runs of which nothing else is left, and what was used. */
export function serveSessions(app: Hono<{ Bindings: HttpBindings }>, options: SessionRouteOptions): void {
  const { kube, token, namespace, now = () => new Date() } = options
  const store = () => {
    const open = options.store()
    if (!open) throw new ClawError('unavailable', 'the database is not reachable, or there is none')
    return open
  }
  const may = (c: Context, verb: string, resource: typeof sessions, name?: string) =>
    authorize(kube, token(c), { verb, resource, namespace: namespace(c), ...(name !== undefined && { name }) })
  /** The conversation that a path names, once it is known that the caller may do this with it. */
  const at = async (c: Context, verb: string): Promise<SessionAddress> => {
    const id = z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .safeParse(c.req.param('id'))
    if (!id.success) throw new ClawError('not_found', 'there is no such session')
    await may(c, verb, sessions, id.data)
    return { namespace: namespace(c), id: id.data }
  }
  const found = <T>(session: T | undefined | false): T => {
    if (!session) throw new ClawError('not_found', 'there is no such session')
    return session
  }

  app.get('/api/v1/namespaces/:ns/sessions', async (c) => {
    const { limit, continue: token, ...query } = readQuery(c, ofInstance)
    await may(c, 'list', sessions)
    const rows = await listSessions(store(), { ...query, namespace: namespace(c), limit, after: pageAfter(token) })
    return c.json(pageOf(rows, limit, (last) => ({ at: last.updatedAt, id: last.id })))
  })
  app.get('/api/v1/namespaces/:ns/sessions/:id', async (c) => {
    return c.json(found(await showSession(store(), await at(c, 'get'))))
  })
  app.post('/api/v1/namespaces/:ns/sessions/:id/reset', async (c) => {
    found(await resetSession(store(), await at(c, 'update'), now()))
    return c.body(null, 204)
  })
  app.delete('/api/v1/namespaces/:ns/sessions/:id', async (c) => {
    found(await deleteSession(store(), await at(c, 'delete'), now()))
    return c.body(null, 204)
  })
  app.get('/api/v1/namespaces/:ns/records', async (c) => {
    const { limit, continue: token, ...query } = readQuery(c, ofSession)
    await may(c, 'list', sessions)
    const rows = await listRuns(store(), { ...query, namespace: namespace(c), limit, after: pageAfter(token) })
    return c.json(pageOf(rows, limit, (last) => ({ at: last.startedAt, id: last.uid })))
  })
  app.get('/api/v1/namespaces/:ns/usage', async (c) => {
    const query = readQuery(c, period)
    await may(c, 'list', usageReports)
    return c.json({ items: await usageOf(store(), { ...query, namespace: namespace(c) }) })
  })
}
