import * as z from 'zod'
import { dnsLabel, usageReports } from '#core/kinds'
import { findSession, listRuns, listSessions, showSession, usageOf } from '#core/store'
import { type Api, serve } from '../openapi/route.ts'
import { inNamespace } from '../openapi/schemas.ts'
import { found, ofOne, type SessionRouteOptions, sessionAccess } from './access.ts'
import { serveSessionChanges } from './changes.ts'
import { pageAfter, pageOf, pageQuery, placeAfter, tokenOf } from './pages.ts'
import type { Prices } from './prices.ts'
import { pageSchema, runRecord, session, transcript, usageRow } from './schemas.ts'
import { exported } from './transcript.ts'

const root = '/api/v1/namespaces/{ns}'
const tag = 'Session'
const ofInstance = pageQuery.extend({ instance: dnsLabel.optional() })
const ofSession = ofInstance.extend({ session: ofOne.shape.id.optional() })
const day = z.iso
  .date()
  // PostgreSQL knows no year 0.
  .refine((text) => text >= '1970', 'there is nothing before 1970')
  .transform((text) => new Date(text))
const period = z.object({
  instance: dnsLabel.optional(),
  from: day.describe('The first day, in UTC.'),
  to: day.describe('The day after the last.'),
})

/** What the database remembers: conversations, the runs of which nothing else is left, and what was used. */
export function serveSessions(api: Api, options: SessionRouteOptions & { prices: Prices }): void {
  const { at, may, store } = sessionAccess(options)

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
      return c.json(pageOf(rows, rows.length === limit, (last) => ({ at: last.updatedAt, id: last.id })))
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
        summary: 'One, and what was said in it',
      },
      params: ofOne,
      query: pageQuery,
      answers: { 200: { description: 'The conversation and a page of it, oldest first', schema: transcript } },
    },
    async ({ params, query: { limit, continue: token } }, c) => {
      const address = await at(c, 'get', params)
      const { next, ...shown } = found(await showSession(store(), address, { limit, after: placeAfter(token) }))
      return c.json({ ...shown, ...(next && { continue: tokenOf(next) }) })
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: `${root}/sessions/{id}/export`, operationId: 'exportSession', tag },
      summary: 'All that was said in one, to keep elsewhere',
      params: ofOne,
      answers: { 200: { description: 'A message a line, as JSON', type: 'application/x-ndjson' } },
    },
    async ({ params }, c) => {
      const address = await at(c, 'get', params)
      found(await findSession(store(), address))
      const lines = ReadableStream.from(exported(store(), address)).pipeThrough(new TextEncoderStream())
      return c.body(lines, 200, { 'content-type': 'application/x-ndjson' })
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
      const { runs, more } = await listRuns(store(), { ...query, namespace, limit, after: pageAfter(token) })
      return c.json(pageOf(runs, more, (last) => ({ at: last.startedAt, id: last.uid })))
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
      const { table } = options.prices
      const rows = await usageOf(store(), { ...query, namespace })
      // By the price of the day of the call, whenever it is asked; a row without any metered call costs nobody knows what.
      const metered = ({ calls, failed, unmetered }: (typeof rows)[number]) => calls - failed - unmetered
      const priced = (row: (typeof rows)[number]) =>
        row.unmetered === 0 || metered(row) > 0 ? table.costMicroUSD(row) : undefined
      return c.json({ items: rows.map((row) => ({ ...row, costMicroUSD: priced(row) ?? null })) })
    },
  )
  serveSessionChanges(api, options)
}
