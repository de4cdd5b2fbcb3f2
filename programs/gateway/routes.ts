import type { WireFormat } from '#core/models'
import type { Question } from './provider.ts'

/** What the gateway serves: exactly this. */
export type Route =
  | { kind: 'call'; format: WireFormat; question: Question }
  | { kind: 'models'; format: 'openai' }
  | { kind: 'healthz' | 'readyz' }

const routes: Readonly<Record<string, Route>> = {
  'POST /openai/v1/chat/completions': { kind: 'call', format: 'openai', question: 'reply' },
  'POST /openai/v1/embeddings': { kind: 'call', format: 'openai', question: 'embeddings' },
  'GET /openai/v1/models': { kind: 'models', format: 'openai' },
  'POST /anthropic/v1/messages': { kind: 'call', format: 'anthropic', question: 'reply' },
  'POST /anthropic/v1/messages/count_tokens': { kind: 'call', format: 'anthropic', question: 'count' },
  'GET /healthz': { kind: 'healthz' },
  'GET /readyz': { kind: 'readyz' },
}

/** The route of a request; its query, such as `?beta=true` of Anthropic's SDK, decides nothing. */
export function routeOf(method: string | undefined, url: string | undefined): Route | undefined {
  const key = `${method} ${(url ?? '').split('?', 1)[0]}`
  return Object.hasOwn(routes, key) ? routes[key] : undefined
}

/** In which shape to answer what is not served at all. */
export function formatOfPath(url: string | undefined): WireFormat {
  return url?.startsWith('/anthropic/') ? 'anthropic' : 'openai'
}
