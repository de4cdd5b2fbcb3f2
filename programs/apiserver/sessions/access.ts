import * as z from 'zod'
import { ClawError } from '#core/errors'
import { sessions } from '#core/kinds'
import type { Kube } from '#core/kube'
import type { SessionAddress, Store } from '#core/store'
import { authorize } from '../callers.ts'
import type { ApiContext } from '../openapi/route.ts'
import { inNamespace } from '../openapi/schemas.ts'

export interface SessionRouteOptions {
  kube: Kube
  /** The database, once it has been migrated. */
  store: () => Store | undefined
  now?: () => Date
}

/** Of the path: a conversation by its id. */
export const ofOne = inNamespace.extend({ id: z.string().regex(/^[0-9a-f]{32}$/) })

/** What every route of conversations asks first. */
export function sessionAccess({ kube, store }: SessionRouteOptions) {
  const may = (c: ApiContext, verb: string, namespace: string, { resource = sessions, name }: Of = {}) =>
    authorize(kube, c.get('token'), { verb, resource, namespace, ...(name !== undefined && { name }) })
  return {
    /** Throws `forbidden` unless the caller may do this with that. */
    may,
    /** The conversation that a path names, once it is known that the caller may do this with it. */
    async at(c: ApiContext, verb: string, { ns, id }: z.output<typeof ofOne>): Promise<SessionAddress> {
      await may(c, verb, ns, { name: id })
      return { namespace: ns, id }
    },
    /** Throws `unavailable` while there is no database. */
    store(): Store {
      const open = store()
      if (!open) throw new ClawError('unavailable', 'the database is not reachable, or there is none')
      return open
    },
  }
}

interface Of {
  resource?: typeof sessions
  name?: string
}

/** What was found. Throws `not_found` where nothing was. */
export function found<T>(session: T | undefined | false): T {
  if (!session) throw new ClawError('not_found', 'there is no such session')
  return session
}
