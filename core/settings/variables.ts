import * as z from 'zod'

/** Where a program listens. */
export interface Listen {
  host: string
  port: number
}

const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
  .transform((text): Listen => {
    const at = text.lastIndexOf(':')
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
  })

/** `host:port`, with an IPv6 address in brackets; `fallback` where the variable is not set. */
export function listen(fallback: string) {
  return address.prefault(fallback)
}

/** Where metrics are served; without it none are kept. A port of its own, which tenants do not reach (docs/metrics.md). */
export const metricsVariables = { K8SCLAW_METRICS_LISTEN: address.optional() }

export const busUrl = urlOf('nats', 'tls')
export const httpUrl = urlOf('http', 'https')
export const databaseUrl = urlOf('postgres', 'postgresql')

function urlOf(...schemes: string[]) {
  const starts = schemes.map((scheme) => `${scheme}://`)
  return z
    .string()
    .refine(
      (text) => starts.some((start) => text.startsWith(start)) && URL.canParse(text),
      `must be a URL that starts with ${starts.join(' or ')}`,
    )
}

/**
 * TLS inside the platform: the authorities that its clients believe, and the folder with `tls.crt` and `tls.key` that a
 * server serves with. Without the folder a server speaks plain HTTP; whether a client speaks TLS is its URL's to say.
 */
export const tlsVariables = {
  K8SCLAW_CA_FILE: z.string().startsWith('/').optional(),
  K8SCLAW_TLS_DIR: z.string().startsWith('/').optional(),
}

/** What those variables say of clients, as `Trust` of core/tls. */
export function trustOf({ K8SCLAW_CA_FILE: caFile }: { K8SCLAW_CA_FILE?: string | undefined }) {
  return caFile === undefined ? {} : { caFile }
}

/** The platform as controller and webhook must read it alike: a run that one refuses the other must not start. */
export const platformVariables = {
  K8SCLAW_ISOLATION: z.enum(['kubernetes', 'bubblewrap', 'none']),
  K8SCLAW_ALLOW_UNCONFINED: z.enum(['true', 'false']).default('false'),
  K8SCLAW_IMAGE_AGENT: z.string().min(1).default('k8sclaw/agent:dev'),
  K8SCLAW_IMAGE_SANDBOX: z.string().min(1).default('k8sclaw/sandbox:dev'),
}

/** What those variables say, as the policy's `Platform`. */
export function platformOf(read: z.output<z.ZodObject<typeof platformVariables>>) {
  return {
    isolation: read.K8SCLAW_ISOLATION,
    allowUnconfined: read.K8SCLAW_ALLOW_UNCONFINED === 'true',
    images: { agent: read.K8SCLAW_IMAGE_AGENT, sandbox: read.K8SCLAW_IMAGE_SANDBOX },
  }
}
