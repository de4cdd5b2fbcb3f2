import type { HttpBindings } from '@hono/node-server'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { Reading } from '#core/kube'
import { readBody } from '../body.ts'
import { readHeaders, readQuery } from '../query.ts'
import { problem } from './schemas.ts'

/** What the middleware has put beside every request that is served with a token. */
export interface ApiEnv {
  Bindings: HttpBindings
  /** `reading` goes with the token wherever Kubernetes is asked for objects. */
  Variables: { token: string; username: string; reading: Reading }
}
export type Api = OpenAPIHono<ApiEnv>
export type ApiContext = Context<ApiEnv>

interface Answer {
  description: string
  /** JSON of this schema, unless `type` says otherwise; nothing at all where both are absent. */
  schema?: z.ZodType
  type?: string
  /** What else it may be, by content type. */
  types?: Record<string, z.ZodType>
}

/** How whatever is no success is answered. */
export interface Refusal {
  description: string
  type: string
  schema: z.ZodType
}

const problems: Refusal = {
  description: 'A refusal, by its code (docs/errors.md).',
  type: 'application/problem+json',
  schema: problem,
}

export interface Route<P extends z.ZodObject, Q extends z.ZodObject, H extends z.ZodObject, B extends z.ZodType> {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  /** As OpenAPI writes it: `/api/v1/namespaces/{ns}/runs`. */
  path: string
  /** Stable: generated clients name their functions by it. */
  operationId: string
  summary: string
  tag: string
  /** Whether it is served without a token; the server lets nobody else through. */
  open?: boolean
  params?: P
  query?: Q
  /** By their lower-case names; others may be there. */
  headers?: H
  body?: B
  /** Of the body; `application/json` unless told. */
  bodyTypes?: readonly string[]
  answers: Record<number, Answer>
  /** Where it is no problem+json. */
  refusal?: Refusal
}

export interface Asked<P extends z.ZodObject, Q extends z.ZodObject, H extends z.ZodObject, B extends z.ZodType> {
  params: z.output<P>
  query: z.output<Q>
  headers: z.output<H>
  body: z.output<B>
}

const nothing = z.object({})

/**
 * Serves a route, and puts it into openapi.json by the same schemas that check what is asked: a path that none of our
 * objects could have is `not_found`; a parameter or field that does not exist is refused, and named.
 */
export function serve<
  P extends z.ZodObject = typeof nothing,
  Q extends z.ZodObject = typeof nothing,
  H extends z.ZodObject = typeof nothing,
  B extends z.ZodType = z.ZodUndefined,
>(
  api: Api,
  route: Route<P, Q, H, B>,
  handler: (asked: Asked<P, Q, H, B>, c: ApiContext) => Response | Promise<Response>,
): void {
  describe(api, route)
  const { params, query, headers, body, bodyTypes } = route
  api.on(route.method.toUpperCase(), route.path.replaceAll(/\{(.+?)\}/g, ':$1'), async (c) => {
    const asked = {
      params: params && readParams(c, params),
      query: readQuery(c, query ?? nothing),
      headers: headers && readHeaders(c, headers),
      body: body && (await readBody(c, body, bodyTypes)),
    }
    return await handler(asked as Asked<P, Q, H, B>, c)
  })
}

/** Puts a route into openapi.json that something else serves. */
export function describe<P extends z.ZodObject, Q extends z.ZodObject, H extends z.ZodObject, B extends z.ZodType>(
  api: Api,
  described: Route<P, Q, H, B>,
): void {
  const { answers, tag, open, params, query, headers, body, bodyTypes = ['application/json'], ...rest } = described
  const { refusal = problems, ...route } = rest
  const responses = Object.entries(answers).map(([status, { description, schema, type, types = {} }]) => {
    const others = Object.fromEntries(Object.entries(types).map(([other, schema]) => [other, { schema }]))
    const content = schema
      ? { [type ?? 'application/json']: { schema }, ...others }
      : type && { [type]: { schema: z.string() } }
    return [status, { description, ...(content && { content }) }]
  })
  const ofBody = { schema: body ?? nothing }
  api.openAPIRegistry.registerPath({
    ...route,
    tags: [tag],
    ...(open && { security: [] }),
    request: {
      ...(params && { params }),
      ...(query && { query }),
      ...(headers && { headers }),
      ...(body && {
        body: { required: true, content: Object.fromEntries(bodyTypes.map((type) => [type, ofBody])) },
      }),
    },
    responses: {
      ...Object.fromEntries(responses),
      default: { description: refusal.description, content: { [refusal.type]: { schema: refusal.schema } } },
    },
  })
}

function readParams<S extends z.ZodObject>(c: ApiContext, schema: S): z.output<S> {
  const parsed = schema.safeParse(c.req.param())
  if (parsed.success) return parsed.data
  const field = String(parsed.error.issues[0]?.path[0])
  throw new ClawError('not_found', `${field}: nothing can have this name`, { field, cause: parsed.error })
}
