import { createHash, createPublicKey, type KeyObject, randomUUID, sign, timingSafeEqual, verify } from 'node:crypto'
import { ApiError } from '../api-error.ts'
import { isObject, type Json, objectAt, stringAt } from '../json.ts'
import type { Store } from '../store/index.ts'
import type { MintedToken, TokenOptions } from '../types.ts'
import { masters, type User } from './user.ts'

/** Who signs, and the audience of tokens for this API itself; the names that in-cluster configurations expect. */
const issuer = 'https://kubernetes.default.svc.cluster.local'

const minimumSeconds = 600
const maximumSeconds = 365 * 24 * 3600

const administrator: User = { name: 'kubernetes-admin', groups: [masters, 'system:authenticated'] }

/**
 * Whose a token is. Service-account tokens are ES256 JWTs with the claims that kube-apiserver puts into them; the
 * administrator's is a static one, good for this API alone.
 */
export class Tokens {
  readonly #adminDigest: Buffer
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject
  readonly #store: Store
  readonly #now: () => number

  constructor(
    { signingKey, adminToken }: { signingKey: KeyObject; adminToken: string },
    store: Store,
    now: () => number = Date.now,
  ) {
    this.#adminDigest = digest(adminToken)
    this.#privateKey = signingKey
    this.#publicKey = createPublicKey(signingKey)
    this.#store = store
    this.#now = now
  }

  mint(account: { namespace: string; name: string; uid: string }, options: TokenOptions): MintedToken {
    const seconds = options.expirationSeconds ?? 3600
    if (seconds < minimumSeconds) {
      const field = 'spec.expirationSeconds'
      const message = `Invalid value: ${seconds}: may not specify a duration less than 10 minutes`
      const text = `TokenRequest.authentication.k8s.io "${account.name}" is invalid: ${field}: ${message}`
      const causes = [{ reason: 'FieldValueInvalid', message, field }]
      throw new ApiError(422, 'Invalid', text, {
        name: account.name,
        group: 'authentication.k8s.io',
        kind: 'TokenRequest',
        causes,
      })
    }
    const issuedAt = Math.floor(this.#now() / 1000)
    const expiresAt = issuedAt + Math.min(seconds, maximumSeconds)
    const claims = {
      aud: options.audiences && options.audiences.length > 0 ? options.audiences : [issuer],
      exp: expiresAt,
      iat: issuedAt,
      iss: issuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace: account.namespace,
        ...(options.node ? { node: options.node } : {}),
        ...(options.pod ? { pod: options.pod } : {}),
        serviceaccount: { name: account.name, uid: account.uid },
      },
      nbf: issuedAt,
      sub: `system:serviceaccount:${account.namespace}:${account.name}`,
    }
    const head = `${encode({ alg: 'ES256', typ: 'JWT' })}.${encode(claims)}`
    const signature = sign('sha256', Buffer.from(head), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' })
    return {
      token: `${head}.${signature.toString('base64url')}`,
      expirationTimestamp: `${new Date(expiresAt * 1000).toISOString().slice(0, 19)}Z`,
    }
  }

  /**
   * Who holds this token, if it is ours, in time, meant for one of `audiences` (empty: this API), and what it is bound
   * to still exists; else why not.
   */
  review(token: string, audiences: string[]): { user: User; audiences: string[] } | { error: string } {
    const wanted = audiences.length > 0 ? audiences : [issuer]
    if (timingSafeEqual(digest(token), this.#adminDigest)) {
      if (wanted.includes(issuer)) return { user: administrator, audiences: [issuer] }
      return { error: 'invalid bearer token' }
    }
    const claims = this.#verified(token)
    if (!claims) return { error: 'invalid bearer token' }
    const now = this.#now() / 1000
    if (typeof claims.exp !== 'number' || claims.exp <= now) return { error: 'service account token has expired' }
    if (typeof claims.nbf !== 'number' || claims.nbf > now + 60)
      return { error: 'service account token is not valid yet' }
    const own: unknown[] = Array.isArray(claims.aud) ? claims.aud : []
    const shared = wanted.filter((audience) => own.includes(audience))
    if (shared.length === 0) {
      return {
        error: `invalid bearer token, token audiences ${JSON.stringify(own)} is invalid for the target audiences ${JSON.stringify(wanted)}`,
      }
    }
    const bound = objectAt(claims, 'kubernetes.io')
    const problem = this.#findMissing(bound)
    return problem ? { error: problem } : { user: userOf(bound, stringAt(claims, 'jti')), audiences: shared }
  }

  #verified(token: string): Json | undefined {
    const [header = '', payload = '', signature = '', ...rest] = token.split('.')
    if (rest.length > 0 || decode(header)?.alg !== 'ES256') return undefined
    const key = { key: this.#publicKey, dsaEncoding: 'ieee-p1363' as const }
    const isOurs = verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'))
    return isOurs ? decode(payload) : undefined
  }

  /** A token dies with its ServiceAccount and with the pod it is bound to; a namesake does not inherit it. */
  #findMissing(bound: Json): string | undefined {
    const namespace = stringAt(bound, 'namespace')
    const uidOf = (resource: string, name: string): string | undefined =>
      this.#store.get({ resource, namespace, name })?.object.metadata.uid
    const account = objectAt(bound, 'serviceaccount')
    if (uidOf('serviceaccounts', stringAt(account, 'name')) !== account.uid)
      return 'service account token has been invalidated: the ServiceAccount is gone'
    if (!isObject(bound.pod)) return undefined
    const isThere = uidOf('pods', stringAt(bound.pod, 'name')) === bound.pod.uid
    return isThere ? undefined : 'service account token has been invalidated: the pod is gone'
  }
}

function userOf(bound: Json, jti: string): User {
  const namespace = stringAt(bound, 'namespace')
  const account = objectAt(bound, 'serviceaccount')
  const extra: Record<string, string[]> = { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] }
  for (const what of ['pod', 'node'] as const) {
    for (const field of ['name', 'uid']) {
      const value = stringAt(bound, what, field)
      if (value) extra[`authentication.kubernetes.io/${what}-${field}`] = [value]
    }
  }
  return {
    name: `system:serviceaccount:${namespace}:${stringAt(account, 'name')}`,
    uid: stringAt(account, 'uid'),
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra,
  }
}

/** Digests have equal lengths, so that the comparison tells nothing about the token's. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode(part: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    return isObject(value) ? value : undefined
  } catch {
    return undefined // Not JSON, so not one of our tokens; the caller says so.
  }
}
