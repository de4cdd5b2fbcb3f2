import { createLogger } from '#core/telemetry'
import { type AppOptions, apiApp } from '../app.ts'
import { openApiDocument } from './document.ts'

/** The API as it is served, with nothing behind it: only its routes are looked at. */
export function routesAlone() {
  const nothing = undefined as unknown as Omit<AppOptions, 'log'>
  return apiApp({ ...nothing, log: createLogger('routes') } as AppOptions)
}

/** docs/openapi.json, which `make manifests` writes. */
export function openApiText(): string {
  return `${JSON.stringify(openApiDocument(routesAlone()), null, 2)}\n`
}
