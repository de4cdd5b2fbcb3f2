import * as z from 'zod'
import type { Kube } from '#core/kube'
import { tokenOf, usernameOf } from '../callers.ts'
import { type Api, serve } from '../openapi/route.ts'
import { type BrowserSessions, checkOrigin } from './cookie.ts'

export interface BrowserOptions {
  kube: Kube
  browsers: BrowserSessions
}

const path = '/api/v1/session'
const tag = 'Browser'

/** How a page trades its token for a cookie that no script reads, and gives it back. */
export function serveBrowserSessions(api: Api, { kube, browsers }: BrowserOptions): void {
  serve(
    api,
    {
      ...{ method: 'post', path, operationId: 'beginSession', tag, summary: 'Trades the token for a cookie' },
      answers: {
        200: {
          description: 'The cookie is set',
          schema: z.object({ username: z.string(), expiresAt: z.iso.datetime() }),
        },
      },
    },
    async (_, c) => {
      const token = tokenOf({
        authorization: c.req.header('authorization'),
        proxied: c.req.header('x-k8sclaw-authorization'),
      })
      if (c.req.header('origin') !== undefined)
        checkOrigin({ origin: c.req.header('origin'), host: c.req.header('host') })
      const username = await usernameOf(kube, token)
      const { cookie, expiresAt } = browsers.begin(token)
      return c.json({ username, expiresAt }, 200, { 'set-cookie': cookie })
    },
  )
}

/** Needs no token: who has none any more has nothing to give back but the cookie. */
export function serveSessionEnd(api: Api, browsers: BrowserSessions): void {
  serve(
    api,
    {
      ...{ method: 'delete', path, operationId: 'endSession', tag, summary: 'Takes the cookie away', open: true },
      answers: { 204: { description: 'There is no cookie any more' } },
    },
    (_, c) => {
      if (c.req.header('cookie') !== undefined)
        checkOrigin({ origin: c.req.header('origin'), host: c.req.header('host') })
      return c.body(null, 204, { 'set-cookie': browsers.end() })
    },
  )
}
