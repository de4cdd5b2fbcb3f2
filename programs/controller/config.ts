import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { Platform } from '#core/policy'
import type { JobSettings } from './resources/job.ts'

const listen = z.string().regex(/^\[?[^\s\]]+\]?:\d{1,5}$/, 'must be host:port')
const image = z.string().min(1)

const keyEnv = z.object({ K8SCLAW_NAMESPACE: z.string().min(1).default('k8sclaw-system') })

const managerEnv = keyEnv.extend({
  K8SCLAW_LISTEN: listen.default('127.0.0.1:8082'),
  K8SCLAW_BUS_KEYS_DIR: z.string().min(1),
  EVENT_BUS_URL: z.url({ protocol: /^(nats|tls)$/ }),
  K8SCLAW_IDENTITY_URL: z.url().default('http://k8sclaw-identity.k8sclaw-system.svc:8082'),
  K8SCLAW_GATEWAY_URL: z.url().default('http://k8sclaw-gateway.k8sclaw-system.svc:8080'),
  K8SCLAW_IMAGE_BRIDGE: image.default('k8sclaw/bridge:dev'),
  K8SCLAW_IMAGE_SANDBOX: image.default('k8sclaw/sandbox:dev'),
  K8SCLAW_IMAGE_AGENT: image.default('k8sclaw/agent:dev'),
  K8SCLAW_ISOLATION: z.enum(['kubernetes', 'bubblewrap', 'none']),
  K8SCLAW_ALLOW_UNCONFINED: z.enum(['true', 'false']).default('false'),
})

export interface ManagerConfig {
  systemNamespace: string
  host: string
  port: number
  busKeysDir: string
  platform: Platform
  settings: JobSettings
}

/** The environment of the manager. Throws ClawError `invalid` that names the first variable that is wrong. */
export function managerConfig(env: NodeJS.ProcessEnv): ManagerConfig {
  const read = parseEnv(managerEnv, env)
  const at = read.K8SCLAW_LISTEN.lastIndexOf(':')
  return {
    systemNamespace: read.K8SCLAW_NAMESPACE,
    host: read.K8SCLAW_LISTEN.slice(0, at).replace(/^\[|\]$/g, ''),
    port: Number(read.K8SCLAW_LISTEN.slice(at + 1)),
    busKeysDir: read.K8SCLAW_BUS_KEYS_DIR,
    platform: {
      isolation: read.K8SCLAW_ISOLATION,
      allowUnconfined: read.K8SCLAW_ALLOW_UNCONFINED === 'true',
      images: { agent: read.K8SCLAW_IMAGE_AGENT, sandbox: read.K8SCLAW_IMAGE_SANDBOX },
    },
    settings: {
      bridgeImage: read.K8SCLAW_IMAGE_BRIDGE,
      identityUrl: read.K8SCLAW_IDENTITY_URL,
      gatewayUrl: read.K8SCLAW_GATEWAY_URL,
      busUrl: read.EVENT_BUS_URL,
    },
  }
}

/** Where `mint-keys` puts its Secret. */
export function keysNamespace(env: NodeJS.ProcessEnv): string {
  return parseEnv(keyEnv, env).K8SCLAW_NAMESPACE
}

function parseEnv<T extends z.ZodObject>(schema: T, env: NodeJS.ProcessEnv): z.output<T> {
  const parsed = schema.safeParse(env)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const name = String(issue?.path[0])
  const what = env[name] === undefined ? 'is not set' : `is not usable: ${issue?.message}`
  throw new ClawError('invalid', `the environment variable ${name} ${what}`, { field: name })
}
