import { Agent, request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { isObject, type Json, objectAt, stringAt } from '../json.ts'
import type { NodeHooks } from '../types.ts'

export interface WebhookAddress {
  host: string
  port: number
  path: string
  servername: string
  ca: string | undefined
  /** As it appears in messages. */
  url: string
}

/** An answer larger than this is no admission decision. */
const maxAnswerBytes = 8 * 1024 * 1024

/**
 * Where a webhook listens: a URL, or a Service that the node finds. It is told how long it has. Throws a sentence when
 * nobody is there.
 */
export function addressOf(clientConfig: Json, timeoutSeconds: number, hooks: NodeHooks | undefined): WebhookAddress {
  const timeout = `${timeoutSeconds}s`
  const bundle = stringAt(clientConfig, 'caBundle')
  const ca = bundle ? Buffer.from(bundle, 'base64').toString() : undefined
  if (typeof clientConfig.url === 'string') {
    const target = new URL(clientConfig.url)
    target.searchParams.set('timeout', timeout)
    const { hostname, port, pathname, search, href } = target
    const host = hostname.replace(/^\[|\]$/g, '')
    return { host, port: Number(port || 443), path: pathname + search, servername: host, ca, url: href }
  }
  const service = objectAt(clientConfig, 'service')
  const namespace = stringAt(service, 'namespace')
  const name = stringAt(service, 'name')
  const port = String(service.port ?? 443)
  const path = `${stringAt(service, 'path') || '/'}?timeout=${timeout}`
  const servername = `${name}.${namespace}.svc`
  const url = `https://${servername}:${port}${path}`
  const found = hooks?.resolveService(namespace, name, port)
  if (!found) throw new Error(`Post ${JSON.stringify(url)}: no endpoints available for service ${JSON.stringify(name)}`)
  return { ...found, path, servername, ca, url }
}

/** Posts an AdmissionReview and gives the `response` of the answer. Connections are kept for the next call. */
export class WebhookClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 })

  async call(address: WebhookAddress, review: Json, timeoutMs: number): Promise<Json> {
    const body = JSON.stringify(review)
    const signal = AbortSignal.timeout(timeoutMs)
    let answer: string
    try {
      answer = await this.#post(address, body, signal)
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw describe(error, address)
      answer = await this.#post(address, body, signal).catch((again: unknown) => {
        throw describe(again, address)
      })
    }
    const parsed: unknown = JSON.parse(answer)
    const response = objectAt(parsed).response
    if (!isObject(response)) throw new Error('webhook response has no response')
    if (response.uid !== objectAt(review, 'request').uid)
      throw new Error('webhook response.uid does not match the request')
    return response
  }

  close(): void {
    this.#agent.destroy()
  }

  #post({ host, port, path, servername, ca }: WebhookAddress, body: string, signal: AbortSignal): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }
      // An address is no server name in TLS (RFC 6066).
      const name = isIP(servername) ? '' : servername
      const options = { host, port, path, servername: name, method: 'POST', headers, agent: this.#agent, signal }
      const request = httpsRequest(ca === undefined ? options : { ...options, ca }, (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > maxAnswerBytes) request.destroy(new Error('the answer is too large'))
          else chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          if (response.statusCode === 200) resolve(text)
          else reject(new Error(`the server answered ${response.statusCode ?? 0}: ${text.slice(0, 200)}`))
        })
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        reject(request.reusedSocket && error.code === 'ECONNRESET' ? new StaleConnection() : error)
      })
      request.end(body)
    })
  }
}

/** The webhook closed a kept connection just as it was used again; the request was not read. */
class StaleConnection extends Error {}

function describe(error: unknown, { url }: WebhookAddress): Error {
  const isTimeout = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')
  const why = isTimeout ? 'context deadline exceeded' : error instanceof Error ? error.message : String(error)
  return new Error(`Post ${JSON.stringify(url)}: ${why}`, { cause: error })
}
