import * as z from 'zod'
import { busUrl, httpUrl, listen, metricsVariables, parseEnvironment } from '#core/settings'

const label = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be a DNS label')

const frameVariables = {
  K8SCLAW_NAMESPACE: label,
  INSTANCE_NAME: label,
  CHANNEL_NAME: label,
  EVENT_BUS_URL: busUrl,
  K8SCLAW_IDENTITY_URL: httpUrl,
  K8SCLAW_TOKEN_FILE: z.string().min(1),
  /** The authorities of bus and identity endpoint, as PEM. */
  K8SCLAW_CA: z.string().startsWith('-----BEGIN CERTIFICATE-----').optional(),
  /** Where the Secret's keys lie as they are now; without it a changed Secret is not noticed. */
  K8SCLAW_SECRET_DIR: z.string().startsWith('/').optional(),
  K8SCLAW_LISTEN: listen('127.0.0.1:8080'),
  ...metricsVariables,
}

/** A variable that holds a secret: an empty one is refused, because an empty one may match another empty one. */
export const secretVariable = z
  .string()
  .min(1, 'must not be empty')
  .regex(/^[!-~]+$/, 'must be printable and without spaces')

/** The environment as every channel reads it, but for what is of its service. Throws ClawError `invalid`. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const read = parseEnvironment(z.object(frameVariables), env)
  const trust = read.K8SCLAW_CA === undefined ? {} : { ca: read.K8SCLAW_CA }
  return {
    channel: { namespace: read.K8SCLAW_NAMESPACE, instance: read.INSTANCE_NAME, channel: read.CHANNEL_NAME },
    busUrl: read.EVENT_BUS_URL,
    trust,
    identity: { url: read.K8SCLAW_IDENTITY_URL, tokenFile: read.K8SCLAW_TOKEN_FILE, trust },
    secretDir: read.K8SCLAW_SECRET_DIR,
    listen: read.K8SCLAW_LISTEN,
    metrics: read.K8SCLAW_METRICS_LISTEN,
  }
}
export type FrameSettings = ReturnType<typeof readSettings>
