import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { ClawError, errorMessage } from '#core/errors'
import type { IncomingHeaders } from '#core/models'
import { checkHost, lookupProvider } from './reach.ts'

/** A provider's answer, its body as it comes. Leaving the iteration early closes the connection. */
export interface Upstream {
  status: number
  headers: IncomingHeaders
  body: AsyncIterable<Uint8Array>
}

export interface ProviderCall {
  url: URL
  headers: Record<string, string>
  body: string
  signal: AbortSignal
}

/** Longest time until a connection stands, and longest silence on one: a model may think for minutes before it speaks. */
const connectMs = 15_000
const silenceMs = 300_000

/**
 * HTTP to providers: connections are kept, redirects are not followed, nothing is decoded, and nothing is sent to where
 * no provider may be.
 */
export class Upstreams {
  readonly #agents = {
    'http:': new HttpAgent({ keepAlive: true, maxFreeSockets: 32 }),
    'https:': new HttpsAgent({ keepAlive: true, maxFreeSockets: 32 }),
  }

  /** Resolves with the head of the answer, whatever its status. Throws `forbidden`, `unavailable` or `timeout`. */
  async post(call: ProviderCall): Promise<Upstream> {
    checkHost(call.url)
    try {
      return await this.#post(call)
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error
      // The provider closed a kept connection as this request went out on it; it has not seen the request.
      return await this.#post(call)
    }
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy()
  }

  #post({ url, headers, body, signal }: ProviderCall): Promise<Upstream> {
    const secure = url.protocol === 'https:'
    const payload = Buffer.from(body)
    return new Promise((resolve, reject) => {
      const outgoing = (secure ? httpsRequest : httpRequest)(url, {
        method: 'POST',
        lookup: lookupProvider,
        agent: this.#agents[secure ? 'https:' : 'http:'],
        headers: { ...headers, 'content-length': payload.byteLength },
        signal,
      })
      const connecting = setTimeout(() => outgoing.destroy(slow(url, 'cannot be connected to')), connectMs)
      outgoing.setTimeout(silenceMs, () => outgoing.destroy(slow(url, 'is silent')))
      outgoing.on('socket', (socket) => {
        if (!socket.connecting) clearTimeout(connecting)
        else socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(connecting))
      })
      outgoing.on('response', (response) => {
        resolve({ status: response.statusCode ?? 502, headers: response.headers, body: bodyOf(response, url) })
      })
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(connecting)
        const stale = outgoing.reusedSocket && error.code === 'ECONNRESET' && !signal.aborted
        reject(stale ? new StaleConnection() : broken(url, error))
      })
      outgoing.end(payload)
    })
  }
}

class StaleConnection extends Error {}

async function* bodyOf(response: IncomingMessage, url: URL): AsyncGenerator<Uint8Array> {
  try {
    yield* response as AsyncIterable<Uint8Array>
  } catch (error) {
    throw broken(url, error)
  } finally {
    response.destroy()
  }
}

/** Only the host is named: the path may hold what a tenant counts as secret. */
function broken(url: URL, cause: unknown): ClawError {
  if (cause instanceof ClawError) return cause
  return new ClawError('unavailable', `the provider at ${url.host} broke off: ${errorMessage(cause)}`, { cause })
}

function slow(url: URL, what: string): ClawError {
  return new ClawError('timeout', `the provider at ${url.host} ${what}`)
}
