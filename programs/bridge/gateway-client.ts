import type { Agent, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { errorMessage } from '#core/errors'
import { agentFor, requestTo, type Trust } from '#core/tls'

/** What of the agent's request the gateway gets to see; everything else stays here. */
const passed = ['accept', 'content-type', 'content-encoding', 'anthropic-version', 'anthropic-beta']
/** How long a gateway that is being restarted is waited for. */
const connectMs = 30_000
const retryMs = 250

export interface GatewayRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: Buffer
  /** Model calls only. */
  step?: number | undefined
  /** Whether what the model says is no part of what the agent says, and is not to be streamed as such. */
  quiet?: boolean
}

/** A request to the gateway that has failed; `sent` says whether it may have been performed. */
export class GatewayFailure extends Error {
  override readonly name = 'GatewayFailure'
  readonly sent: boolean

  constructor(sent: boolean, cause: unknown) {
    super(`the gateway ${sent ? 'broke off' : 'cannot be reached'}: ${errorMessage(cause)}`, { cause })
    this.sent = sent
  }
}

/** The gateway as this run reaches it: with its run token, over connections that are kept. */
export class Gateway {
  readonly #url: URL
  readonly #trust: Trust
  readonly #runToken: () => Promise<string>
  readonly #connections: Agent

  constructor(url: string, trust: Trust, runToken: () => Promise<string>) {
    this.#url = new URL(url)
    this.#trust = trust
    this.#connections = agentFor(this.#url)
    this.#runToken = runToken
  }

  /** The answer's head; its body is the reader's. Asks again only while nothing of the request can have arrived. */
  async ask(wanted: GatewayRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const end = performance.now() + connectMs
    for (;;) {
      try {
        return await this.#askOnce(wanted, await this.#token(), signal)
      } catch (thrown) {
        const failure = thrown instanceof GatewayFailure ? thrown : new GatewayFailure(true, thrown)
        if (failure.sent || signal.aborted || performance.now() > end) throw failure
        await sleep(retryMs)
      }
    }
  }

  close(): void {
    this.#connections.destroy()
  }

  async #token(): Promise<string> {
    try {
      return await this.#runToken()
    } catch (cause) {
      throw new GatewayFailure(false, cause)
    }
  }

  #askOnce({ method, path, headers, body, step, quiet }: GatewayRequest, token: string, signal: AbortSignal) {
    return new Promise<IncomingMessage>((resolve, reject) => {
      let connected = false
      const call = requestTo(new URL(path, this.#url), this.#trust, {
        method,
        agent: this.#connections,
        signal,
        headers: {
          ...Object.fromEntries(passed.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]]))),
          authorization: `Bearer ${token}`,
          'content-length': body.length,
          ...(step === undefined ? {} : { 'x-k8sclaw-step': String(step) }),
          ...(quiet ? { 'x-k8sclaw-preview': 'none' } : {}),
        },
      })
      call.once('socket', (socket) => {
        connected = !socket.connecting
        // A kept socket never connects again: what listens for it would stay with it.
        if (connected) return
        // Over TLS nothing of the request leaves before the server has shown who it is.
        socket.once(this.#url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
          connected = true
        })
      })
      call.once('error', (cause) => reject(new GatewayFailure(connected, cause)))
      call.once('response', resolve)
      call.end(body)
    })
  }
}

const usage = z.object({ input: z.int().min(0), output: z.int().min(0) })

/** What the gateway read off the wire, from the trailer of an answer that was read to its end. */
export function tokensOf(response: IncomingMessage): { input: number; output: number } | undefined {
  const text = response.trailers['x-k8sclaw-usage']
  if (text === undefined) return undefined
  try {
    return usage.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}
