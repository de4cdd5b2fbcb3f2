import { nkeys } from '@nats-io/transport-node'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeBase32, encodeBase32 } from './base32.ts'
import { createNkey, createUserKey, isPublicKey, nkeyOf, publicKeyOf, signWithSeed } from './nkey.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })

describe('an nkey', () => {
  test('is written as the reference implementation writes it', () => {
    const raw = Buffer.from('e2ebf4a58f7bc4b4f1b1fbbcd0b3a4b3a1a5a7c6f0f3a2d1c4b5968778695a4b', 'hex')
    fc.assert(
      fc.property(fc.oneof(fc.constant(raw), bytes32), (seed) => {
        const ours = nkeyOf('user', seed)
        const theirs = nkeys.fromSeed(Buffer.from(ours.seed))
        expect(theirs.getPublicKey()).toBe(ours.publicKey)
      }),
      { numRuns: 20 },
    )
  })

  test('of each kind begins with its letter and is read by the reference implementation', () => {
    for (const [kind, letter] of [
      ['operator', 'O'],
      ['account', 'A'],
      ['user', 'U'],
    ] as const) {
      const { publicKey, seed } = createNkey(kind)
      expect(publicKey[0]).toBe(letter)
      expect(seed.slice(0, 2)).toBe(`S${letter}`)
      expect(publicKeyOf(seed)).toBe(publicKey)
      expect(nkeys.fromPublic(publicKey).getPublicKey()).toBe(publicKey)
    }
  })

  test('signs so that the reference implementation agrees', () => {
    const { publicKey, seed } = createUserKey()
    const data = Buffer.from('a nonce')
    expect(nkeys.fromPublic(publicKey).verify(data, signWithSeed(seed, data))).toBe(true)
    expect(nkeys.fromPublic(publicKey).verify(Buffer.from('another'), signWithSeed(seed, data))).toBe(false)
  })

  test('reads the key pair of the NATS documentation', () => {
    // docs.nats.io, "NKeys": nats-server's own example configuration.
    expect(publicKeyOf('SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY')).toBe(
      'UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4',
    )
  })

  test('with one letter changed is no key', () => {
    const { publicKey } = createUserKey()
    fc.assert(
      fc.property(
        fc.nat(publicKey.length - 1),
        fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'),
        (at, letter) => {
          const changed = publicKey.slice(0, at) + letter + publicKey.slice(at + 1)
          expect(isPublicKey('user', changed)).toBe(changed === publicKey)
        },
      ),
    )
    expect(isPublicKey('account', publicKey)).toBe(false)
    expect(() => publicKeyOf(publicKey)).toThrow('not an nkey seed')
  })
})

test('base 32 reads what it wrote and refuses everything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      expect(decodeBase32(encodeBase32(bytes))).toEqual(Buffer.from(bytes))
    }),
  )
  for (const text of ['a', 'A', 'AB=', 'A1', 'AB AB']) expect(decodeBase32(text)).toBeUndefined()
})
