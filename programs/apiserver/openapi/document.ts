import type { Api } from './route.ts'

/**
 * Of the API, as semantic versioning has it: what takes something away from clients makes the first number greater that
 * is not 0, and docs/api.md says what it was.
 */
export const apiVersion = '0.1.0'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const description = 'REST, server-sent events and WebSockets of K8sClaw: docs/api.md says what is not said here.'

/** The OpenAPI 3.1 document of all that `serve` has put into the API. */
export function openApiDocument(api: Api): Json {
  const scheme = api.openAPIRegistry
  for (const [name, component] of Object.entries(securitySchemes)) {
    const there = scheme.definitions.some((it) => it.type === 'component' && it.name === name)
    if (!there) scheme.registerComponent('securitySchemes', name, component)
  }
  const document = api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'K8sClaw', version: apiVersion, description, license: { name: 'Apache-2.0' } },
    servers: [{ url: '/' }],
    security: Object.keys(securitySchemes).map((name) => ({ [name]: [] })),
  })
  // Rules in CEL are for Kubernetes alone.
  const text = JSON.stringify(document, (key, value) => (key.startsWith('x-kubernetes-') ? undefined : value))
  return JSON.parse(text) as Json
}

const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', description: 'A Kubernetes token.' },
  proxied: {
    type: 'apiKey',
    in: 'header',
    name: 'X-K8sClaw-Authorization',
    description: '`Bearer` and the token, through the service proxy, where Kubernetes removes Authorization.',
  },
  browser: {
    type: 'apiKey',
    in: 'cookie',
    name: 'k8sclaw-session',
    description: 'What a page got for its token; over TLS the name begins with `__Host-`.',
  },
} as const
