import { readFile } from 'node:fs/promises'
import { ClawError } from '#core/errors'
import { type RunClaims, verifyRunToken } from '#core/identity'

/** How long a key is used before its file is read again: the kubelet replaces it when the ConfigMap changes. */
const rereadMs = 5_000
/** Tokens that are remembered as good, each of one run: more than call within minutes. */
const maxKnown = 1_000

/**
 * Says whose request this is, by the run token it bears; the public key is in a file that may not be there yet. A run
 * sends the same token with each of its calls: it is verified once, and remembered until it ends or the key is another.
 */
export class Callers {
  readonly #file: string
  readonly #now: () => Date
  #key: { pem: string; readAt: number } | undefined
  /** By token, those used last at the end; all verified with `pem`. */
  #known: { pem: string; claims: Map<string, RunClaims> } = { pem: '', claims: new Map() }

  constructor(file: string, now: () => Date = () => new Date()) {
    this.#file = file
    this.#now = now
  }

  /** Throws `unauthenticated`, or `unavailable` while there is no key. */
  async claimsOf(authorization: string | undefined): Promise<RunClaims> {
    const token = /^Bearer ([\w.-]+)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined) throw new ClawError('unauthenticated', 'a run token is needed')
    const pem = await this.key()
    if (this.#known.pem !== pem) this.#known = { pem, claims: new Map() }
    const { claims } = this.#known
    const now = this.#now()
    const known = claims.get(token)
    const good = known && known.exp * 1000 > now.getTime() ? known : verifyRunToken(pem, token, now)
    claims.delete(token)
    claims.set(token, good)
    const oldest = claims.keys().next().value
    if (claims.size > maxKnown && oldest !== undefined) claims.delete(oldest)
    return good
  }

  /** The public key in force; throws `unavailable` while there is none. */
  async key(): Promise<string> {
    const now = this.#now().getTime()
    if (this.#key && now - this.#key.readAt < rereadMs) return this.#key.pem
    try {
      this.#key = { pem: await readFile(this.#file, 'utf8'), readAt: now }
      return this.#key.pem
    } catch (cause) {
      if (this.#key) return this.#key.pem
      throw new ClawError('unavailable', 'the key of run tokens is not there yet', { cause })
    }
  }
}
