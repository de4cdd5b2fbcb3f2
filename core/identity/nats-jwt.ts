import { createHash } from 'node:crypto'
import { ClawError } from '#core/errors'
import { encodeBase32 } from './base32.ts'
import type { BusKeys } from './bus-keys.ts'
import { isPublicKey, publicKeyOf, signWithSeed } from './nkey.ts'
import { type BusIdentity, busPermissions } from './permissions.ts'

interface NatsClaims {
  iat: number
  exp?: number
  sub: string
  name: string
  nats: { type: 'operator' | 'account' | 'user'; version: 2 } & Record<string, unknown>
}

const header = encode({ typ: 'JWT', alg: 'ed25519-nkey' })

/** A JWT as nats-server reads them: issuer and subject are nkeys, the signature is the issuer's (NATS ADR-14). */
export function signNatsJwt(seed: string, claims: NatsClaims): string {
  const issued = { ...claims, iss: publicKeyOf(seed) }
  const jti = encodeBase32(createHash('sha512-256').update(JSON.stringify(issued)).digest())
  const body = `${header}.${encode({ jti, ...issued })}`
  return `${body}.${signWithSeed(seed, Buffer.from(body)).toString('base64url')}`
}

export interface BusUserRequest {
  keys: Pick<BusKeys, 'account.public' | 'runs.public' | 'signing.seed'>
  userPublicKey: string
  /** For the logs of the bus: which program, and which run. */
  name: string
  identity: BusIdentity
  expiresAt: Date
}

/** Who stands in the account without streams, because somebody else has a say in what it does. */
const outside = new Set<BusIdentity['kind']>(['bridge', 'channel'])

/** The user JWT with which the holder of the user key may do on the bus what its identity may, and nothing else. */
export function signBusUser({ keys, userPublicKey, name, identity, expiresAt }: BusUserRequest, now = new Date()) {
  if (!isPublicKey('user', userPublicKey)) {
    throw new ClawError('invalid', 'userPublicKey: must be the public nkey of a user', { field: 'userPublicKey' })
  }
  const { publish, subscribe } = busPermissions(identity, userPublicKey)
  return signNatsJwt(keys['signing.seed'], {
    iat: Math.floor(now.getTime() / 1000),
    exp: Math.floor(expiresAt.getTime() / 1000),
    sub: userPublicKey,
    name,
    nats: {
      type: 'user',
      version: 2,
      issuer_account: keys[outside.has(identity.kind) ? 'runs.public' : 'account.public'],
      pub: { allow: publish },
      sub: { allow: subscribe },
      subs: -1,
      data: -1,
      payload: -1,
    },
  })
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
