import * as z from 'zod'
import { ClawError } from '#core/errors'
import { dnsLabel, memories } from '#core/kinds'
import {
  deleteMemories,
  deleteMemory,
  findMemory,
  hasOwnSpace,
  listMemories,
  type MemoryVector,
  searchPlace,
} from '#core/store'
import { type Api, type ApiContext, serve } from '../openapi/route.ts'
import { inNamespace } from '../openapi/schemas.ts'
import { ofOne, type SessionRouteOptions, sessionAccess } from '../sessions/access.ts'
import { pageAfter, pageOf, pageQuery } from '../sessions/pages.ts'
import { pageSchema } from '../sessions/schemas.ts'

export interface MemoryRouteOptions extends SessionRouteOptions {
  meaning: MeaningOf
}

/** A text as memories are compared with it; undefined where that cannot be had now. */
export type MeaningOf = (text: string, signal: AbortSignal) => Promise<MemoryVector | undefined>

const root = '/api/v1/namespaces/{ns}/memories'
const tag = 'Memory'

const scope = z.enum(['session', 'user', 'instance'])
const owner = z
  .string()
  .max(512)
  // PostgreSQL takes none.
  .refine((text) => !text.includes('\0'), 'it holds a NUL')
  .describe('The id of the session, or the name of the user.')
const places = z.object({ instance: dnsLabel.optional(), scope: scope.optional(), owner: owner.optional() })
/** A memory may have 4,096 characters, so a page has fewer of them than of other rows. */
const pages = pageQuery.extend({ ...places.shape, limit: z.coerce.number().int().min(1).max(100).default(100) })
const whole = places.required({ instance: true, scope: true })

const memory = z
  .object({
    id: z.string(),
    namespace: z.string(),
    instance: z.string(),
    scope,
    owner: z.string().describe('The id of the session, or the name of the user; empty for the instance.'),
    content: z.string(),
    run: z.string().describe('uid of the AgentRun that stored it first.'),
    call: z.string().describe('The call by which it did.'),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Memory' })

const searchRequest = z
  .strictObject({
    ...places.shape,
    query: z.string().min(1).max(1024),
    limit: z.int().min(1).max(20).default(5),
  })
  .meta({ id: 'MemorySearch' })

const searchAnswer = z.object({
  items: z.array(memory.extend({ score: z.number().describe('Comparable within one search only.') })),
  searchedBy: z.array(z.enum(['meaning', 'words'])),
})

/** What agents remember, for the people whose it is: to look at, to search, and to be rid of. Only agents write it. */
export function serveMemories(api: Api, options: MemoryRouteOptions): void {
  const { meaning, now = () => new Date() } = options
  const access = sessionAccess(options)
  const may = (c: ApiContext, verb: string, namespace: string, name?: string) =>
    access.may(c, verb, namespace, { resource: memories, ...(name !== undefined && { name }) })

  serve(
    api,
    {
      ...{ method: 'get', path: root, operationId: 'listMemories', tag, summary: 'What agents remember' },
      params: inNamespace,
      query: pages,
      answers: { 200: { description: 'A page, the newest first', schema: pageSchema(memory) } },
    },
    async ({ params: { ns: namespace }, query: { limit, continue: token, ...place } }, c) => {
      await may(c, 'list', namespace)
      const after = pageAfter(token)
      const rows = await listMemories(access.store(), { ...place, namespace, limit, after, now: now() })
      return c.json(pageOf(rows, rows.length === limit, (last) => ({ at: last.createdAt, id: last.id })))
    },
  )
  serve(
    api,
    {
      ...{ method: 'post', path: `${root}/search`, operationId: 'searchMemories', tag },
      summary: 'Those that fit a text best, by its meaning and its words',
      params: inNamespace,
      body: searchRequest,
      answers: { 200: { description: 'The best first', schema: searchAnswer } },
    },
    async ({ params: { ns: namespace }, body: { query: text, limit, ...place } }, c) => {
      await may(c, 'list', namespace)
      const store = access.store()
      // What a model of the instance is to compare is sent to no other, and only a run may ask that one.
      const { instance } = place
      const own = instance !== undefined && (await hasOwnSpace(store, { namespace, instance }))
      const vector = own ? undefined : await meaning(text, c.req.raw.signal)
      const items = await searchPlace(store, { ...place, namespace }, { text, vector, limit, now: now() })
      return c.json({ items, searchedBy: vector ? ['meaning', 'words'] : ['words'] })
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: `${root}/{id}`, operationId: 'getMemory', tag, summary: 'One of them' },
      params: ofOne,
      answers: { 200: { description: 'The memory', schema: memory } },
    },
    async ({ params: { ns: namespace, id } }, c) => {
      await may(c, 'get', namespace, id)
      return c.json(found(await findMemory(access.store(), { namespace, id }, now())))
    },
  )
  serve(
    api,
    {
      ...{ method: 'delete', path: `${root}/{id}`, operationId: 'deleteMemory', tag, summary: 'Deletes one for good' },
      params: ofOne,
      answers: { 204: { description: 'It is gone' } },
    },
    async ({ params: { ns: namespace, id } }, c) => {
      await may(c, 'delete', namespace, id)
      found(await deleteMemory(access.store(), { namespace, id }, now()))
      return c.body(null, 204)
    },
  )
  serve(
    api,
    {
      ...{ method: 'delete', path: root, operationId: 'deleteMemories', tag },
      summary: 'Deletes all of one scope of an instance for good, or of one owner there',
      params: inNamespace,
      query: whole,
      answers: { 200: { description: 'How many there were', schema: z.object({ deleted: z.int() }) } },
    },
    async ({ params: { ns: namespace }, query: place }, c) => {
      await may(c, 'deletecollection', namespace)
      return c.json({ deleted: await deleteMemories(access.store(), { ...place, namespace }, now()) })
    },
  )
}

function found<T>(memory: T | undefined | false): T {
  if (!memory) throw new ClawError('not_found', 'there is no such memory')
  return memory
}
