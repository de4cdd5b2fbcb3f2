import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'

/** Tokens and the moment until which they may be used, sealed so that only a holder of the key reads or makes them. */
export interface Sealing {
  seal(token: string, expiresAt: Date): string
  /** The token; undefined for what was not sealed with this key, or is over. */
  open(sealed: string, now: Date): string | undefined
}

const sealedValue = z.object({ token: z.string(), until: z.int() })
const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

/**
 * The key follows from the private key that all replicas serve TLS with, as it is on disk at that moment; where none is
 * served, it is this process's own, and nobody else's cookies open.
 */
export function sealing(tlsDir: string | undefined): Sealing {
  const own = randomBytes(32)
  const key = () => {
    const secret = tlsDir === undefined ? own : readFileSync(join(tlsDir, 'tls.key'))
    return Buffer.from(hkdfSync('sha256', secret, '', 'k8sclaw browser session', 32))
  }
  return {
    seal(token, expiresAt) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv(algorithm, key(), nonce)
      const text = JSON.stringify({ token, until: expiresAt.getTime() })
      const body = Buffer.concat([cipher.update(text), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')
    },
    open(sealed, now) {
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length <= nonceBytes + tagBytes) return undefined
      const decipher = createDecipheriv(algorithm, key(), bytes.subarray(0, nonceBytes), { authTagLength: tagBytes })
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
      try {
        const text = Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()])
        const { token, until } = sealedValue.parse(JSON.parse(text.toString()))
        return until > now.getTime() ? token : undefined
      } catch {
        // Somebody else's, or changed on the way: as good as none.
        return undefined
      }
    },
  }
}
