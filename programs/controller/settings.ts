import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import * as z from 'zod'
import type { ChannelType } from '#core/kinds'
import type { Platform } from '#core/policy'
import {
  busUrl,
  httpUrl,
  type Listen,
  listen,
  metricsVariables,
  parseEnvironment,
  platformOf,
  platformVariables,
  tlsVariables,
  trustOf,
} from '#core/settings'
import { authoritiesOf, type Trust } from '#core/tls'
import type { CanarySettings } from './canary/job.ts'
import type { JobSettings } from './resources/job.ts'
import type { ExternalBus } from './resources/network-policy.ts'

const keysVariables = z.object({ K8SCLAW_NAMESPACE: z.string().min(1).default('k8sclaw-system') })

/** Addresses as a NetworkPolicy takes them, apart by commas; empty as good as absent. */
const cidrs = z
  .string()
  .transform((text) => text.split(',').flatMap((one) => one.trim() || []))
  .pipe(z.array(z.union([z.cidrv4(), z.cidrv6()], 'must be addresses such as 10.1.0.0/16, apart by commas')).max(16))

const variables = keysVariables.extend({
  K8SCLAW_LISTEN: listen('127.0.0.1:8082'),
  K8SCLAW_REPLICA: z.string().min(1).max(512).optional(),
  K8SCLAW_BUS_KEYS_DIR: z.string().min(1),
  EVENT_BUS_URL: busUrl,
  K8SCLAW_IDENTITY_URL: httpUrl.default('http://k8sclaw-identity.k8sclaw-system.svc:8082'),
  K8SCLAW_GATEWAY_URL: httpUrl.default('http://k8sclaw-gateway.k8sclaw-system.svc:8080'),
  K8SCLAW_IMAGE_BRIDGE: z.string().min(1).default('k8sclaw/bridge:dev'),
  K8SCLAW_IMAGE_CONTROLLER: z.string().min(1).default('k8sclaw/controller:dev'),
  K8SCLAW_IMAGE_CHANNEL_TELEGRAM: z.string().min(1).default('k8sclaw/channel-telegram:dev'),
  K8SCLAW_IMAGE_CHANNEL_SLACK: z.string().min(1).default('k8sclaw/channel-slack:dev'),
  K8SCLAW_IMAGE_CHANNEL_DISCORD: z.string().min(1).default('k8sclaw/channel-discord:dev'),
  K8SCLAW_IMAGE_CHANNEL_WHATSAPP: z.string().min(1).default('k8sclaw/channel-whatsapp:dev'),
  K8SCLAW_BUS_CIDR: cidrs.optional(),
  K8SCLAW_BUS_REPLICAS: z.coerce.number().int().min(1).max(5).default(1),
  K8SCLAW_START_DEADLINE_SECONDS: z.coerce.number().int().min(1).max(86_400).default(300),
  ...platformVariables,
  ...tlsVariables,
  ...metricsVariables,
})

export interface Settings {
  systemNamespace: string
  /**
   * The name of this replica in the lease. Only where the same name means that the former process is dead, as with a
   * pod's own, may it come again.
   */
  replica: string
  listen: Listen
  /** Where metrics are served; nowhere if absent. */
  metrics: Listen | undefined
  busKeysDir: string
  /** Folder of the certificate that the identity endpoint is served with; without it plain HTTP is served. */
  tlsDir: string | undefined
  trust: Trust
  platform: Platform
  job: JobSettings
  /** The program of each chat service. */
  channelImages: Readonly<Record<ChannelType, string>>
  /** How long a pod may take to start its agent, milliseconds. */
  startDeadlineMs: number
  canary: CanarySettings
  externalBus: ExternalBus | undefined
  /** On how many servers of the bus's cluster each stream is kept. */
  busReplicas: number
}

/** The environment as the manager reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const read = parseEnvironment(variables, env)
  const trust = trustOf(read)
  return {
    systemNamespace: read.K8SCLAW_NAMESPACE,
    replica: read.K8SCLAW_REPLICA ?? `${hostname()}_${randomUUID()}`,
    listen: read.K8SCLAW_LISTEN,
    metrics: read.K8SCLAW_METRICS_LISTEN,
    busKeysDir: read.K8SCLAW_BUS_KEYS_DIR,
    tlsDir: read.K8SCLAW_TLS_DIR,
    trust,
    platform: platformOf(read),
    job: {
      bridgeImage: read.K8SCLAW_IMAGE_BRIDGE,
      identityUrl: read.K8SCLAW_IDENTITY_URL,
      gatewayUrl: read.K8SCLAW_GATEWAY_URL,
      busUrl: read.EVENT_BUS_URL,
      // Read for each Job: a bundle that grows reaches the runs that start after it.
      get caPem() {
        return authoritiesOf(trust)
      },
    },
    channelImages: {
      telegram: read.K8SCLAW_IMAGE_CHANNEL_TELEGRAM,
      slack: read.K8SCLAW_IMAGE_CHANNEL_SLACK,
      discord: read.K8SCLAW_IMAGE_CHANNEL_DISCORD,
      whatsapp: read.K8SCLAW_IMAGE_CHANNEL_WHATSAPP,
    },
    startDeadlineMs: read.K8SCLAW_START_DEADLINE_SECONDS * 1000,
    canary: { image: read.K8SCLAW_IMAGE_CONTROLLER, busUrl: read.EVENT_BUS_URL },
    externalBus: externalBusOf(read.K8SCLAW_BUS_CIDR, read.EVENT_BUS_URL),
    busReplicas: read.K8SCLAW_BUS_REPLICAS,
  }
}

function externalBusOf(cidrs: string[] = [], busUrl: string): ExternalBus | undefined {
  return cidrs.length > 0 ? { cidrs, port: Number(new URL(busUrl).port || 4222) } : undefined
}

/** Where `mint-keys` puts its Secret. */
export function keysNamespace(env: NodeJS.ProcessEnv): string {
  return parseEnvironment(keysVariables, env).K8SCLAW_NAMESPACE
}
