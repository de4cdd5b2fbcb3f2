import type { IncomingHttpHeaders } from 'node:http'
import { ApiError } from '../api-error.ts'
import type { Attributes, Rbac } from './rbac.ts'
import type { Tokens } from './tokens.ts'
import type { User } from './user.ts'

const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] }

/** Tells from the headers who asks. A token that is no good is refused rather than taken for none. */
export class Authentication {
  readonly #tokens: Tokens
  readonly #rbac: Rbac

  constructor(tokens: Tokens, rbac: Rbac) {
    this.#tokens = tokens
    this.#rbac = rbac
  }

  authenticate(headers: IncomingHttpHeaders): User {
    const user = this.#byToken(headers.authorization)
    return headers['impersonate-user'] === undefined ? user : this.#impersonate(user, headers)
  }

  #byToken(header: string | undefined): User {
    if (header === undefined || header === '') return anonymous
    const token = /^Bearer\s+(\S+)$/i.exec(header)?.[1]
    if (!token) throw unauthorized()
    const reviewed = this.#tokens.review(token, [])
    if ('error' in reviewed) throw unauthorized()
    return reviewed.user
  }

  /** `kubectl --as`: the caller needs the verb `impersonate` on everything it wants to be. */
  #impersonate(user: User, headers: IncomingHttpHeaders): User {
    const name = String(headers['impersonate-user'])
    const groups = (headers['impersonate-group']?.toString() ?? '')
      .split(',')
      .map((g) => g.trim())
      .filter(Boolean)
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name)
    this.#require(user, account ? 'serviceaccounts' : 'users', account?.[1] ?? '', account?.[2] ?? name)
    for (const group of groups) this.#require(user, 'groups', '', group)
    const own = account ? ['system:serviceaccounts', `system:serviceaccounts:${account[1]}`] : []
    const status = name === anonymous.name ? 'system:unauthenticated' : 'system:authenticated'
    return { name, groups: [...new Set([...groups, ...own, status])] }
  }

  #require(user: User, resource: string, namespace: string, name: string): void {
    const wanted = { verb: 'impersonate', group: '', resource, subresource: '', namespace, name }
    if (!this.#rbac.allows(user, wanted)) throw denied(user, wanted)
  }
}

export function unauthorized(): ApiError {
  return new ApiError(401, 'Unauthorized', 'Unauthorized')
}

/** The refusal in the words by which people know it. */
export function denied(user: User, wanted: Attributes): ApiError {
  if ('path' in wanted) {
    const message = `forbidden: User "${user.name}" cannot ${wanted.verb} path "${wanted.path}"`
    return new ApiError(403, 'Forbidden', message)
  }
  const { verb, group, resource, subresource, namespace, name } = wanted
  const full = subresource ? `${resource}/${subresource}` : resource
  const where = namespace ? ` in the namespace "${namespace}"` : ' at the cluster scope'
  const id = group ? `${resource}.${group}` : resource
  const subject = name ? `${id} "${name}"` : id
  const message = `${subject} is forbidden: User "${user.name}" cannot ${verb} resource "${full}" in API group "${group}"${where}`
  return new ApiError(403, 'Forbidden', message, {
    ...(name ? { name } : {}),
    ...(group ? { group } : {}),
    kind: resource,
  })
}
