import { isIP } from 'node:net'
import * as z from 'zod'
import { listen, metricsVariables, parseEnvironment, platformOf, platformVariables } from '#core/settings'

const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const names = z
  .string()
  .transform((text) => text.split(',').map((name) => name.trim()))
  .refine(
    (all) => all.length <= 16 && all.every((name) => isIP(name) !== 0 || (name.length <= 253 && dnsName.test(name))),
    'must be at most 16 DNS names or IP addresses, with commas between them',
  )

const variables = z.object({
  K8SCLAW_LISTEN: listen('0.0.0.0:9443'),
  K8SCLAW_NAMESPACE: z.string().min(1).default('k8sclaw-system'),
  /** Under which API servers call; those of the Service where it is not set. */
  K8SCLAW_WEBHOOK_NAMES: names.optional(),
  ...platformVariables,
  ...metricsVariables,
})

/** The environment as the webhook reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const read = parseEnvironment(variables, env)
  const namespace = read.K8SCLAW_NAMESPACE
  const service = `k8sclaw-webhook.${namespace}.svc`
  const called = read.K8SCLAW_WEBHOOK_NAMES ?? [service, `${service}.cluster.local`]
  return {
    listen: read.K8SCLAW_LISTEN,
    metrics: read.K8SCLAW_METRICS_LISTEN,
    namespace,
    names: called,
    platform: platformOf(read),
  }
}
