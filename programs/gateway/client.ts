import type { ServerResponse } from 'node:http'

/** How long a client may leave what it was sent unread before it counts as gone. */
const unreadMs = 30_000

/**
 * The other end of an answer. It never holds up the reading of the provider for good: what cannot be delivered any
 * more is dropped, so that the reply is still read, and metered, to its end.
 */
export class Client {
  readonly #response: ServerResponse
  readonly #gone = new AbortController()

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('close', () => {
      if (!response.writableFinished) this.#gone.abort()
    })
    response.on('error', () => this.#gone.abort())
  }

  /** Aborts when the client has hung up. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** The head travels with the first bytes where these come at once, and soon without them. */
  head(status: number, headers: Record<string, string>): void {
    if (this.gone.aborted) return
    this.#response.writeHead(status, headers)
    setImmediate(() => {
      if (!this.#response.writableEnded) this.#response.flushHeaders()
    })
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.gone.aborted || this.#response.write(bytes)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const patience = setTimeout(() => this.#response.destroy(), unreadMs)
    this.#response.once('drain', resolve)
    const giveUp = () => resolve()
    this.gone.addEventListener('abort', giveUp)
    await promise
    clearTimeout(patience)
    this.#response.off('drain', resolve)
    this.gone.removeEventListener('abort', giveUp)
  }

  end(trailers: Record<string, string> = {}): void {
    if (this.gone.aborted) return
    this.#response.addTrailers(trailers)
    this.#response.end()
  }
}
