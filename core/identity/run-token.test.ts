import { createHmac, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mintBusKeys, type RunClaims, signRunToken, verifyRunToken } from './index.ts'

const keys = mintBusKeys()
const privatePem = keys['run-token.private.pem']
const publicPem = keys['run-token.public.pem']
const now = new Date('2026-01-01T00:00:00Z')
const claims: RunClaims = {
  uid: 'a-b-c',
  run: 'hello',
  namespace: 'team',
  instance: 'bot',
  attempt: 1,
  provider: 'demo',
  models: ['demo'],
  exp: now.getTime() / 1000 + 600,
}

describe('a run token', () => {
  test('gives back the claims it was signed with', () => {
    expect(verifyRunToken(publicPem, signRunToken(privatePem, claims), now)).toEqual(claims)
    const withSecret = { ...claims, secretRef: 'provider' }
    expect(verifyRunToken(publicPem, signRunToken(privatePem, withSecret), now)).toEqual(withSecret)
  })

  test('carries as many addresses as a policy may name, and is not signed beyond what a header takes', () => {
    const url = (i: number) => `https://${'x'.repeat(200)}.example/${i}`
    const many = { ...claims, baseURLs: Array.from({ length: 32 }, (_, i) => url(i)) }
    expect(verifyRunToken(publicPem, signRunToken(privatePem, many), now)).toEqual(many)
    const more = { ...claims, baseURLs: Array.from({ length: 64 }, (_, i) => url(i)) }
    expect(() => signRunToken(privatePem, more)).toThrow('too many baseURLs')
  })

  test('is refused from the second on at which it expires', () => {
    const token = signRunToken(privatePem, claims)
    expect(verifyRunToken(publicPem, token, new Date(claims.exp * 1000 - 1))).toEqual(claims)
    expect(() => verifyRunToken(publicPem, token, new Date(claims.exp * 1000))).toThrow('has expired')
  })

  test('signed by another key, or changed anywhere, is refused', () => {
    const other = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
    expect(() => verifyRunToken(publicPem, signRunToken(other, claims), now)).toThrow('not one of ours')
    const token = signRunToken(privatePem, claims)
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...'aZ0_.'), (at, letter) => {
        const changed = token.slice(0, at) + letter + token.slice(at + 1)
        // The last letter of a base64url signature has bits that say nothing.
        fc.pre(changed !== token && at !== token.length - 1)
        expect(() => verifyRunToken(publicPem, changed, now)).toThrow()
      }),
    )
  })

  test('cannot choose its algorithm', () => {
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const none = `${encode({ alg: 'none' })}.${encode(claims)}.`
    const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`
    const hmac = `${body}.${createHmac('sha256', publicPem).update(body).digest('base64url')}`
    for (const forged of [none, hmac, '', 'a.b.c', 'x'.repeat(100_000)]) {
      expect(() => verifyRunToken(publicPem, forged, now)).toThrow('not one of ours')
    }
  })
})
