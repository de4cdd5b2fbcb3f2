import type { Context, MiddlewareHandler } from 'hono'
import type { BrowserSessions } from './browser/cookie.ts'
import type { LargeAnswers } from './limits/large-answers.ts'
import type { Throttle } from './limits/throttle.ts'
import type { ApiEnv } from './openapi/route.ts'

export interface GuardOptions {
  browsers: BrowserSessions
  throttle: Throttle
  answers: LargeAnswers
}

const reads = new Set(['GET', 'HEAD'])

/** Lets in what carries a token that somebody has, within that user's limits, and puts both beside the request,
 * and what bounds what is read for it. */
export function guard({ browsers, throttle, answers }: GuardOptions): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const token = browsers.tokenOf(credentialsOf(c))
    const { username, leave } = await throttle.admit(token)
    c.set('token', token)
    c.set('username', username)
    c.set('reading', answers.readingFor(username, c.env.outgoing))
    try {
      await next()
    } finally {
      leave()
    }
    c.header('Cache-Control', 'no-store')
    c.header('X-Content-Type-Options', 'nosniff')
  }
}

function credentialsOf(c: Context) {
  return {
    authorization: c.req.header('authorization'),
    proxied: c.req.header('x-k8sclaw-authorization'),
    cookie: c.req.header('cookie'),
    origin: c.req.header('origin'),
    host: c.req.header('host'),
    guarded: !reads.has(c.req.method),
  }
}
