import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import { httpRequests, httpSeconds } from './metrics.ts'

/** Counts requests by the route that serves them; what no route serves is `none`, whatever it asked for. */
export const measured: MiddlewareHandler = async (c, next) => {
  const begun = httpSeconds.time()
  await next()
  const { method } = c.req
  const route = matchedRoutes(c).findLast(({ path }) => !path.endsWith('*'))?.path ?? 'none'
  begun({ method, route })
  httpRequests.add({ method, route, status: String(c.res.status) })
}
