import { gunzipSync, gzipSync } from 'node:zlib'
import { ClawError } from '#core/errors'

/** Payloads above this many bytes are compressed. */
const compressAbove = 16 * 1024
/** What a compressed payload may unpack to, at most. */
const maxUnpacked = 32 * 1024 * 1024

export interface Payload {
  bytes: Uint8Array
  gzip: boolean
}

/** A value as it travels: JSON, compressed where that pays. */
export function encodePayload(value: unknown): Payload {
  const bytes = Buffer.from(JSON.stringify(value))
  return bytes.length > compressAbove ? { bytes: gzipSync(bytes, { level: 1 }), gzip: true } : { bytes, gzip: false }
}

/** The value that `encodePayload` was given. Throws `malformed`. */
export function decodePayload({ bytes, gzip }: Payload): unknown {
  try {
    const plain = gzip ? gunzipSync(bytes, { maxOutputLength: maxUnpacked }) : Buffer.from(bytes)
    return JSON.parse(plain.toString('utf8'))
  } catch (cause) {
    throw new ClawError('malformed', 'a message of the bus is not JSON', { cause })
  }
}
