import * as z from 'zod'
import { listen, parseEnvironment, platformOf, platformVariables } from '#core/settings'

const variables = z.object({
  K8SCLAW_LISTEN: listen('0.0.0.0:9443'),
  K8SCLAW_NAMESPACE: z.string().min(1).default('k8sclaw-system'),
  ...platformVariables,
})

/** The environment as the webhook reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const read = parseEnvironment(variables, env)
  return { listen: read.K8SCLAW_LISTEN, namespace: read.K8SCLAW_NAMESPACE, platform: platformOf(read) }
}
