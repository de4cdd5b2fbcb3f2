import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { ClawError } from '#core/errors'
import { decodeBase32, encodeBase32 } from './base32.ts'

/** Kinds of nkey and the prefix byte of each, which becomes the first letter: O, A or U. */
const prefixes = { operator: 14 << 3, account: 0, user: 20 << 3 } as const
export type NkeyKind = keyof typeof prefixes
const seedPrefix = 18 << 3

/** An nkey pair in its text form. The seed is the secret half. */
export interface Nkey {
  publicKey: string
  seed: string
}

/** DER around the 32 bytes of an Ed25519 key (RFC 8410): what node:crypto wants to be given. */
const privateDer = Buffer.from('302e020100300506032b657004220420', 'hex')

/** A fresh key pair of one kind. */
export function createNkey(kind: NkeyKind): Nkey {
  const { privateKey } = generateKeyPairSync('ed25519')
  const raw = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32)
  return nkeyOf(kind, raw)
}

/** The key that a bus user proves itself with. Its seed never leaves the process that made it. */
export function createUserKey(): Nkey {
  return createNkey('user')
}

/** The pair that a raw 32-byte Ed25519 seed stands for. */
export function nkeyOf(kind: NkeyKind, raw: Uint8Array): Nkey {
  const prefix = prefixes[kind]
  // The kind of a seed shares its two first bytes with the prefix S, so that the text begins with S and the kind.
  const head = [seedPrefix | (prefix >> 5), (prefix & 31) << 3]
  return {
    publicKey: withChecksum([prefix], publicBytes(keyObject(raw))),
    seed: withChecksum(head, raw),
  }
}

/** Signs with the private half that a seed stands for. Throws `invalid` for text that is no seed. */
export function signWithSeed(seed: string, data: Uint8Array): Buffer {
  return sign(null, data, pairOf(seed).privateKey)
}

/** The public key that belongs to a seed. Throws `invalid` for text that is no seed. */
export function publicKeyOf(seed: string): string {
  return pairOf(seed).publicKey
}

interface Pair {
  privateKey: KeyObject
  publicKey: string
}

/** The pair of the seed used last: a process signs with one, again and again, and reading it costs more than a signature. */
let last: { seed: string; pair: Pair } | undefined

function pairOf(seed: string): Pair {
  if (last?.seed === seed) return last.pair
  const { kind, raw } = parseSeed(seed)
  const pair = { privateKey: keyObject(raw), publicKey: nkeyOf(kind, raw).publicKey }
  last = { seed, pair }
  return pair
}

/** Whether the text is a well-formed public key of that kind, checksum included. */
export function isPublicKey(kind: NkeyKind, text: string): boolean {
  const bytes = checked(text)
  return bytes !== undefined && bytes.length === 33 && bytes[0] === prefixes[kind]
}

function parseSeed(seed: string): { kind: NkeyKind; raw: Uint8Array } {
  const bytes = checked(seed.trim())
  const [first = 0, second = 0] = bytes ?? []
  const prefix = ((first & 7) << 5) | (second >> 3)
  const kind = (Object.keys(prefixes) as NkeyKind[]).find((name) => prefixes[name] === prefix)
  if (bytes?.length !== 34 || (first & 248) !== seedPrefix || !kind) {
    throw new ClawError('invalid', 'the text is not an nkey seed')
  }
  return { kind, raw: bytes.subarray(2) }
}

function keyObject(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([privateDer, raw]), format: 'der', type: 'pkcs8' })
}

function publicBytes(key: KeyObject): Uint8Array {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
}

function withChecksum(head: number[], bytes: Uint8Array): string {
  const body = Buffer.concat([Buffer.from(head), bytes])
  const sum = Buffer.alloc(2)
  sum.writeUInt16LE(crc16(body))
  return encodeBase32(Buffer.concat([body, sum]))
}

function checked(text: string): Buffer | undefined {
  const bytes = decodeBase32(text)
  if (!bytes || bytes.length < 3) return undefined
  const body = bytes.subarray(0, -2)
  return crc16(body) === bytes.readUInt16LE(body.length) ? body : undefined
}

/** CRC-16/XMODEM, as nkeys use it. */
function crc16(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  }
  return crc
}
