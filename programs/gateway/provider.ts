import { ClawError } from '#core/errors'
import type { RunClaims } from '#core/identity'
import {
  credentialHeaders,
  demoModel,
  formatsOf,
  type IncomingHeaders,
  type ModelRequest,
  requestHeaders,
  type WireFormat,
  writeModelRequest,
} from '#core/models'
import { demoScriptOf, demoUpstream } from './demo.ts'
import type { ProviderSecrets } from './secrets.ts'
import type { Upstream, Upstreams } from './upstream.ts'

/** What a provider is asked for: a reply, the count of the tokens of a request, or vectors of texts. */
export type Question = 'reply' | 'count' | 'embeddings'

/** The provider that a run token names for something, and the Secret with its credential. */
export type Named = Pick<RunClaims, 'namespace' | 'provider' | 'secretRef'>

export interface Asking {
  question: Question
  request: ModelRequest
  headers: IncomingHeaders
  signal: AbortSignal
  /** Aborts when nobody waits for the answer any more. */
  clientGone: AbortSignal
}

/** Where the replies of one run come from. */
export interface Provider {
  ask(asking: Asking): Promise<Upstream>
  /** A text that the provider sent, without the credential, should it have repeated it. */
  scrub(text: string): string
  /** Where it is; absent for the demo model, which answers in this program. */
  baseURL?: string
  /** Name of the Secret with the credential, for messages. */
  secret: string | undefined
}

const defaultBase: Record<string, string> = {
  openai: 'https://api.openai.com/v1',
  anthropic: 'https://api.anthropic.com',
}

const paths: Record<WireFormat, Record<Exclude<Question, 'embeddings'>, string>> = {
  openai: { reply: '/chat/completions', count: '/chat/completions' },
  anthropic: { reply: '/v1/messages', count: '/v1/messages/count_tokens' },
}

/**
 * The provider that the run token names, with the credential that it names, and nothing from the request. Throws
 * ClawError `invalid` for the other wire format, `forbidden` for a Secret that is missing or lacks what is needed.
 */
export async function providerOf(
  { provider, namespace, secretRef }: Named,
  format: WireFormat,
  secrets: ProviderSecrets,
  upstreams: Upstreams,
): Promise<Provider> {
  if (!formatsOf(provider).includes(format)) {
    const base = format === 'openai' ? 'ANTHROPIC_BASE_URL' : 'OPENAI_BASE_URL'
    throw new ClawError('invalid', `the provider ${provider} does not speak this wire format; use ${base}`)
  }
  const data = secretRef === undefined ? undefined : await secrets.get(namespace, secretRef)
  if (provider === demoModel) {
    const script = demoScriptOf(data?.script, secretRef)
    return {
      ask: async (asking) => demoUpstream(script, asking),
      scrub: (text) => text,
      secret: secretRef,
    }
  }
  if (!data || secretRef === undefined) {
    throw new ClawError('forbidden', `the ClawInstance names no Secret for the provider ${provider} in authRefs`)
  }
  const base = baseOf(provider, data.baseURL, secretRef)
  const apiKey = keyOf(provider, data.apiKey, secretRef)
  return {
    secret: secretRef,
    baseURL: base,
    scrub: (text) => scrub(text, apiKey),
    ask: ({ question, request, headers, signal }) =>
      upstreams.post({
        url: new URL(base + (question === 'embeddings' ? '/embeddings' : paths[format][question])),
        headers: { ...requestHeaders(format, headers), ...credentialHeaders(format, apiKey) },
        body: writeModelRequest(request),
        signal,
      }),
  }
}

function baseOf(provider: string, given: string | undefined, secret: string): string {
  const text = given?.trim() || defaultBase[provider]
  if (!text) throw new ClawError('forbidden', `the Secret ${secret} has no baseURL, which ${provider} needs`)
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new ClawError('forbidden', `baseURL in the Secret ${secret} is not a plain http or https address`)
  }
  return url.href.replace(/\/+$/, '')
}

/** Services of one's own may need no key; the two known providers do. */
function keyOf(provider: string, given: string | undefined, secret: string): string | undefined {
  const key = given?.trim()
  if (!key && provider in defaultBase) {
    throw new ClawError('forbidden', `the Secret ${secret} has no apiKey, which ${provider} needs`)
  }
  if (key && !/^[\x21-\x7e]+$/.test(key)) {
    throw new ClawError('forbidden', `apiKey in the Secret ${secret} holds what no header can carry`)
  }
  return key || undefined
}

function scrub(text: string, key: string | undefined): string {
  if (key === undefined) return text
  const forms = [key, JSON.stringify(key).slice(1, -1), encodeURIComponent(key), Buffer.from(key).toString('base64')]
  return forms.reduce((clean, form) => clean.replaceAll(form, '[redacted]'), text)
}
