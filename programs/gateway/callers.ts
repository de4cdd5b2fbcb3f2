import { readFile } from 'node:fs/promises'
import { ClawError } from '#core/errors'
import { type RunClaims, verifyRunToken } from '#core/identity'

/** How long a key is used before its file is read again: the kubelet replaces it when the ConfigMap changes. */
const rereadMs = 5_000

/** Says whose request this is, by the run token it bears; the public key is in a file that may not be there yet. */
export class Callers {
  readonly #file: string
  readonly #now: () => Date
  #key: { pem: string; readAt: number } | undefined

  constructor(file: string, now: () => Date = () => new Date()) {
    this.#file = file
    this.#now = now
  }

  /** Throws `unauthenticated`, or `unavailable` while there is no key. */
  async claimsOf(authorization: string | undefined): Promise<RunClaims> {
    const token = /^Bearer ([\w.-]+)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined) throw new ClawError('unauthenticated', 'a run token is needed')
    return verifyRunToken(await this.key(), token, this.#now())
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
