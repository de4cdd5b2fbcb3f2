import { ClawError, isClawError } from '#core/errors'
import type { RunAddress } from '#core/identity'
import { type AgentRun, agentRuns, type Resource } from '#core/kinds'
import type { Kube, TokenUser } from '#core/kube'

/** What of a request says who asks. */
export interface Credentials {
  authorization?: string | undefined
  /** Sent instead through the service proxy, where kube-apiserver removes Authorization. */
  proxied?: string | undefined
}

const maxToken = 16_384

/** The caller's Kubernetes token. Throws `unauthenticated` where there is none: nobody is served anonymously. */
export function tokenOf({ authorization, proxied }: Credentials): string {
  const token = /^Bearer +([\x21-\x7e]+)$/i.exec(proxied ?? authorization ?? '')?.[1]
  if (!token) throw new ClawError('unauthenticated', 'a bearer token is required')
  if (token.length > maxToken) throw new ClawError('unauthenticated', 'the bearer token is too long')
  return token
}

export interface Reader {
  /** For limits and logs; unique among the users of the cluster. */
  username: string
  run: RunAddress
}

export interface Question {
  verb: string
  resource: Resource
  /** Empty asks for all of them. */
  namespace: string
  name?: string
}

/**
 * The name of the caller, once it is known that the token is good and its user may do this. Throws `unauthenticated` or
 * `forbidden`, whose sentence says what it takes.
 */
export async function authorize(kube: Kube, token: string, question: Question): Promise<string> {
  const { username, groups, uid, extra } = await userOf(kube, token)
  const allowed = await ourselves(kube.subjectAccessReview({ user: username, groups, uid, extra, ...question }))
  if (allowed) return username
  const { verb, resource, namespace, name } = question
  const what = name === undefined ? `${resource.plural}.${resource.group}` : `the ${resource.kind} ${name}`
  const where = namespace === '' ? 'all namespaces' : namespace
  throw new ClawError('forbidden', `this needs the verb ${verb} on ${what} in ${where}`)
}

/**
 * Who reads, once it is known that they may: its user must have the verb `get` on that AgentRun, and the object is read
 * with the caller's own token. Throws `unauthenticated`, `forbidden` or `not_found`.
 */
export async function authorizeReader(kube: Kube, token: string, namespace: string, name: string): Promise<Reader> {
  const username = await authorize(kube, token, { verb: 'get', resource: agentRuns, namespace, name })
  const { metadata, spec } = await kube.withToken(token).get<AgentRun>(agentRuns, { namespace, name })
  if (!metadata.uid) throw new ClawError('internal', `the AgentRun ${name} has no uid`)
  return { username, run: { namespace, instance: spec.instanceRef.name, uid: metadata.uid } }
}

/** Whose token it is. Throws `unauthenticated`. */
export async function usernameOf(kube: Kube, token: string): Promise<string> {
  return (await userOf(kube, token)).username
}

async function userOf(kube: Kube, token: string): Promise<TokenUser> {
  const user = await ourselves(kube.tokenReview(token))
  if (user.authenticated) return user
  throw new ClawError('unauthenticated', 'the token is not known, or has expired')
}

/** What is refused to this program is no verdict on the caller. */
async function ourselves<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (!isClawError(error, 'forbidden', 'unauthenticated')) throw error
    throw new ClawError('unavailable', 'this API server may not ask Kubernetes who calls', { cause: error })
  }
}
