import type { WireFormat } from './wire.ts'

/** Headers as Node gives them: lower-case names. */
export type IncomingHeaders = Readonly<Record<string, string | string[] | undefined>>

/** Beta features of Anthropic that change how the model answers and reach nothing else; matched before the date. */
const betas = [
  'context-1m',
  'effort',
  'fine-grained-tool-streaming',
  'interleaved-thinking',
  'output-128k',
  'prompt-caching',
  'structured-outputs',
  'token-efficient-tools',
]

const datedBeta = /^([a-z0-9-]+)-[0-9]{4}-[0-9]{2}-[0-9]{2}$/

/**
 * The headers that a provider gets, without its credential: those named here and no other. Names of beta features that
 * are not listed are left out, since some of them open what is refused in the body.
 */
export function requestHeaders(format: WireFormat, incoming: IncomingHeaders): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    // What is metered must be readable.
    'accept-encoding': 'identity',
    accept: single(incoming.accept) ?? '*/*',
    'user-agent': 'k8sclaw-gateway',
  }
  if (format === 'openai') return headers
  headers['anthropic-version'] = single(incoming['anthropic-version']) ?? '2023-06-01'
  const wanted = [incoming['anthropic-beta'] ?? []].flat().flatMap((value) => value.split(','))
  const known = wanted.map((name) => name.trim()).filter((name) => betas.includes(datedBeta.exec(name)?.[1] ?? ''))
  if (known.length > 0) headers['anthropic-beta'] = known.join(',')
  return headers
}

/** The headers in which a provider takes its key. */
export function credentialHeaders(format: WireFormat, apiKey: string | undefined): Record<string, string> {
  if (apiKey === undefined) return {}
  return format === 'openai' ? { authorization: `Bearer ${apiKey}` } : { 'x-api-key': apiKey }
}

const replied = ['content-type', 'retry-after', 'retry-after-ms', 'x-should-retry', 'request-id', 'x-request-id']

/** The headers of a provider's answer that the client gets. */
export function replyHeaders(upstream: IncomingHeaders): Record<string, string> {
  return Object.fromEntries(
    replied.flatMap((name) => {
      const value = single(upstream[name])
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
