/** The two public wire formats: OpenAI chat completions, and Anthropic messages. */
export type WireFormat = 'openai' | 'anthropic'

/** Tokens of one model request, as the provider counts them. */
export interface TokenUsage {
  input: number
  output: number
}

/** What some bytes of a reply hold: the model's text, and tokens where they are told. */
export interface Reading {
  text: string
  input?: number
  output?: number
}

/** The one provider that is served inside the gateway; the name of its one model is the same. */
export const demoModel = 'demo'

/** The wire formats that a provider speaks, by its name in a ClawInstance. */
export function formatsOf(provider: string): readonly WireFormat[] {
  if (provider === demoModel) return ['openai', 'anthropic']
  return provider === 'anthropic' ? ['anthropic'] : ['openai']
}

/** An answer that is not the provider's, in the shape in which the provider answers errors. */
export interface ProviderError {
  status: number
  headers: Record<string, string>
  body: string
}

const anthropicTypes: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

const openaiTypes: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
}

/**
 * Shapes a refusal or a failure so that an unmodified SDK reads it. `x-should-retry` (honoured by the SDKs of both
 * providers) keeps them from repeating what cannot succeed; `code` is one word for programs.
 */
export function providerError(
  format: WireFormat,
  problem: { status: number; code: string; message: string; retryable?: boolean },
): ProviderError {
  const { status, code, message, retryable = false } = problem
  const fallback = status >= 500 ? (format === 'openai' ? 'server_error' : 'api_error') : 'invalid_request_error'
  const body =
    format === 'openai'
      ? { error: { message, type: openaiTypes[status] ?? fallback, param: null, code } }
      : { type: 'error', error: { type: anthropicTypes[status] ?? fallback, message } }
  return {
    status,
    headers: { 'content-type': 'application/json', 'x-should-retry': String(retryable) },
    body: JSON.stringify(body),
  }
}
