import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import * as z from 'zod'
import { ClawError } from '#core/errors'

/** What a run token says: which run, and which provider credential the gateway may use for it. */
export const runClaims = z.object({
  /** uid of the AgentRun. */
  uid: z.string().min(1).max(64),
  /** Its name. */
  run: z.string().min(1).max(253),
  namespace: z.string().min(1).max(63),
  instance: z.string().min(1).max(63),
  attempt: z.int().min(1),
  provider: z.string().min(1).max(63),
  /** Name of the Secret, in that namespace, that holds the credential; absent where the provider needs none. */
  secretRef: z.string().min(1).max(253).optional(),
  /** Models the run may ask for. */
  models: z.array(z.string().min(1).max(256)).max(64),
  /** The model by which its memories are compared; absent where that is not one of its instance. */
  embeddings: z
    .object({
      provider: z.string().min(1).max(63),
      secretRef: z.string().min(1).max(253).optional(),
      model: z.string().min(1).max(256),
    })
    .optional(),
  /** Name of the ClawPolicy that bound the run; absent where none did. */
  policy: z.string().min(1).max(253).optional(),
  /** Where its provider may be spoken to; absent leaves it to the Secret. */
  baseURLs: z.array(z.string().max(256)).max(256).optional(),
  /** Seconds since 1970 from which on the token is refused. */
  exp: z.int().min(0),
})
export type RunClaims = z.infer<typeof runClaims>

const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', typ: 'JWT' })).toString('base64url')
/** What fits in a header beside others: an HTTP server of Node takes 16 KiB of them together. */
const maxTokenLength = 14_336

/** A JWT (RFC 7519) over the claims, signed with Ed25519 (RFC 8037). Throws `too_large` for one that nobody takes. */
export function signRunToken(privatePem: string, claims: RunClaims): string {
  const body = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
  const token = `${body}.${sign(null, Buffer.from(body), createPrivateKey(privatePem)).toString('base64url')}`
  if (token.length > maxTokenLength) {
    throw new ClawError('too_large', `the token of run ${claims.run} has ${token.length} characters: too many baseURLs`)
  }
  return token
}

/** The claims of a token that this key signed and that has not expired; otherwise throws `unauthenticated`. */
export function verifyRunToken(publicPem: string, token: string, now: Date): RunClaims {
  const refuse = (why: string, cause?: unknown) => new ClawError('unauthenticated', `the run token ${why}`, { cause })
  const [head, payload, signature, ...rest] = token.length > maxTokenLength ? [] : token.split('.')
  // The header is compared as a whole: there is one algorithm, and the token does not choose it.
  if (head !== header || !payload || !signature || rest.length > 0) throw refuse('is not one of ours')
  const good = verify(
    null,
    Buffer.from(`${head}.${payload}`),
    createPublicKey(publicPem),
    Buffer.from(signature, 'base64url'),
  )
  if (!good) throw refuse('is not one of ours')
  const claims = runClaims.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString()))
  if (!claims.success) throw refuse('has other claims than this version knows', claims.error)
  if (claims.data.exp * 1000 <= now.getTime()) throw refuse('has expired')
  return claims.data
}
