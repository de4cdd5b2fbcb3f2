import { ClawError } from '#core/errors'
import { type Credentials, tokenOf } from '../callers.ts'
import { type Sealing, sealing } from './sealing.ts'

/** What of a request a cookie is judged by. */
export interface BrowserRequest extends Credentials {
  cookie: string | undefined
  /** Whether it may change something, or opens what CORS does not guard, such as a WebSocket. */
  guarded: boolean
  origin: string | undefined
  host: string | undefined
}

/** For how long a page is let in before it must show the token again. */
export const sessionSeconds = 3600
/** A browser keeps 4096 bytes of a cookie, its name and attributes among them. */
const maxSealed = 3800

/**
 * The sessions of browsers: a cookie that no script reads and no other site sends, which holds the token itself, sealed.
 * Nothing is stored, so a session cannot be ended before its time but by ending the token.
 */
export class BrowserSessions {
  readonly #secure: boolean
  readonly #sealing: Sealing
  readonly #now: () => Date

  constructor({ tlsDir, now = () => new Date() }: { tlsDir?: string | undefined; now?: () => Date }) {
    this.#secure = tlsDir !== undefined
    this.#sealing = sealing(tlsDir)
    this.#now = now
  }

  /** A browser takes the first name only over TLS, for this host alone and all of its paths. */
  get #name(): string {
    return this.#secure ? '__Host-k8sclaw-session' : 'k8sclaw-session'
  }

  /** `Set-Cookie` for a token. Throws `too_large` for a token that no cookie holds. */
  begin(token: string): { cookie: string; expiresAt: Date } {
    const expiresAt = new Date(this.#now().getTime() + sessionSeconds * 1000)
    const sealed = this.#sealing.seal(token, expiresAt)
    if (sealed.length > maxSealed) throw new ClawError('too_large', 'the token is too long for a cookie')
    return { cookie: this.#cookie(sealed, sessionSeconds), expiresAt }
  }

  /** `Set-Cookie` that takes it away. */
  end(): string {
    return this.#cookie('', 0)
  }

  /**
   * The caller's token, from a header or else from the cookie. Throws `unauthenticated`, and `forbidden` where a page of
   * another origin asks for something in the name of who looks at it.
   */
  tokenOf(request: BrowserRequest): string {
    const sealed = cookieNamed(request.cookie, this.#name)
    if (request.authorization !== undefined || request.proxied !== undefined || sealed === undefined)
      return tokenOf(request)
    const token = this.#sealing.open(sealed, this.#now())
    if (token === undefined) throw new ClawError('unauthenticated', 'the session of this browser is over')
    if (request.guarded) checkOrigin(request)
    return token
  }

  #cookie(value: string, seconds: number): string {
    const secure = this.#secure ? '; Secure' : ''
    return `${this.#name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`
  }
}

/** A browser says with every write which page it comes from; only pages of this very server may. */
export function checkOrigin({ origin, host }: Pick<BrowserRequest, 'origin' | 'host'>): void {
  const from = origin !== undefined && URL.canParse(origin) ? new URL(origin).host : undefined
  if (!from || from !== host?.toLowerCase())
    throw new ClawError('forbidden', 'a page of another origin may not do this', { field: 'Origin' })
}

function cookieNamed(cookies: string | undefined, name: string): string | undefined {
  for (const pair of cookies?.split(';') ?? []) {
    const [key, value] = pair.split('=', 2)
    if (key?.trim() === name) return value?.trim()
  }
  return undefined
}
