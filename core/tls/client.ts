import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { authoritiesOf, type Trust } from './trust.ts'

/** Begins a request, over TLS where the URL says `https:`. Throws `unavailable` where the authorities cannot be read. */
export function requestTo(url: URL, trust: Trust, options: RequestOptions): ClientRequest {
  if (url.protocol !== 'https:') return httpRequest(url, options)
  const ca = authoritiesOf(trust)
  return httpsRequest(url, { ...options, ...(ca === undefined ? {} : { ca }) })
}

/** Connections to `url` that are kept, for `requestTo`: one that was made for other authorities is not used again. */
export function agentFor(url: URL): HttpAgent {
  return url.protocol === 'https:' ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
}
