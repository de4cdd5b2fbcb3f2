import * as z from 'zod'

const variables = z.object({
  K8SCLAW_LISTEN: z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
    .default('0.0.0.0:9443'),
  K8SCLAW_NAMESPACE: z.string().min(1).default('k8sclaw-system'),
  K8SCLAW_ISOLATION: z.enum(['kubernetes', 'bubblewrap', 'none']),
  K8SCLAW_ALLOW_UNCONFINED: z.enum(['true', 'false']).default('false'),
  K8SCLAW_IMAGE_AGENT: z.string().min(1).default('k8sclaw/agent:dev'),
  K8SCLAW_IMAGE_SANDBOX: z.string().min(1).default('k8sclaw/sandbox:dev'),
})

/** The environment as this program reads it, or one sentence that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const parsed = variables.safeParse(env)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return { error: `${issue?.path.join('.')}: ${issue?.message}` }
  }
  const { data } = parsed
  const at = data.K8SCLAW_LISTEN.lastIndexOf(':')
  return {
    listen: {
      host: data.K8SCLAW_LISTEN.slice(0, at).replace(/^\[|\]$/g, ''),
      port: Number(data.K8SCLAW_LISTEN.slice(at + 1)),
    },
    namespace: data.K8SCLAW_NAMESPACE,
    platform: {
      isolation: data.K8SCLAW_ISOLATION,
      allowUnconfined: data.K8SCLAW_ALLOW_UNCONFINED === 'true',
      images: { agent: data.K8SCLAW_IMAGE_AGENT, sandbox: data.K8SCLAW_IMAGE_SANDBOX },
    },
  }
}
