import * as z from 'zod'
import type { Platform } from '#core/policy'
import { busUrl, httpUrl, type Listen, listen, parseEnvironment, platformOf, platformVariables } from '#core/settings'
import type { JobSettings } from './resources/job.ts'

const keysVariables = z.object({ K8SCLAW_NAMESPACE: z.string().min(1).default('k8sclaw-system') })

const variables = keysVariables.extend({
  K8SCLAW_LISTEN: listen('127.0.0.1:8082'),
  K8SCLAW_BUS_KEYS_DIR: z.string().min(1),
  EVENT_BUS_URL: busUrl,
  K8SCLAW_IDENTITY_URL: httpUrl.default('http://k8sclaw-identity.k8sclaw-system.svc:8082'),
  K8SCLAW_GATEWAY_URL: httpUrl.default('http://k8sclaw-gateway.k8sclaw-system.svc:8080'),
  K8SCLAW_IMAGE_BRIDGE: z.string().min(1).default('k8sclaw/bridge:dev'),
  ...platformVariables,
})

export interface Settings {
  systemNamespace: string
  listen: Listen
  busKeysDir: string
  platform: Platform
  job: JobSettings
}

/** The environment as the manager reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const read = parseEnvironment(variables, env)
  return {
    systemNamespace: read.K8SCLAW_NAMESPACE,
    listen: read.K8SCLAW_LISTEN,
    busKeysDir: read.K8SCLAW_BUS_KEYS_DIR,
    platform: platformOf(read),
    job: {
      bridgeImage: read.K8SCLAW_IMAGE_BRIDGE,
      identityUrl: read.K8SCLAW_IDENTITY_URL,
      gatewayUrl: read.K8SCLAW_GATEWAY_URL,
      busUrl: read.EVENT_BUS_URL,
    },
  }
}

/** Where `mint-keys` puts its Secret. */
export function keysNamespace(env: NodeJS.ProcessEnv): string {
  return parseEnvironment(keysVariables, env).K8SCLAW_NAMESPACE
}
