import * as z from 'zod'

const address = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
const url = (...schemes: string[]) =>
  z.string().refine((text) => schemes.some((scheme) => text.startsWith(`${scheme}://`)) && URL.canParse(text), {
    message: `must be a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
  })

const variables = z.object({
  K8SCLAW_LISTEN: address.default('127.0.0.1:8080'),
  EVENT_BUS_URL: url('nats', 'tls'),
  K8SCLAW_IDENTITY_URL: url('http', 'https'),
  K8SCLAW_TOKEN_FILE: z.string().min(1),
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
    busUrl: data.EVENT_BUS_URL,
    identity: { url: data.K8SCLAW_IDENTITY_URL, tokenFile: data.K8SCLAW_TOKEN_FILE },
  }
}
