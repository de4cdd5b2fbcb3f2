import * as z from 'zod'
import { busUrl, httpUrl, listen, metricsVariables, parseEnvironment, tlsVariables, trustOf } from '#core/settings'

const variables = z.object({
  K8SCLAW_LISTEN: listen('127.0.0.1:8080'),
  EVENT_BUS_URL: busUrl,
  K8SCLAW_IDENTITY_URL: httpUrl,
  K8SCLAW_TOKEN_FILE: z.string().min(1),
  K8SCLAW_RUN_TOKEN_KEY_FILE: z.string().min(1),
  ...tlsVariables,
  ...metricsVariables,
})

/** The environment as the gateway reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const read = parseEnvironment(variables, env)
  const trust = trustOf(read)
  return {
    listen: read.K8SCLAW_LISTEN,
    metrics: read.K8SCLAW_METRICS_LISTEN,
    busUrl: read.EVENT_BUS_URL,
    identity: { url: read.K8SCLAW_IDENTITY_URL, tokenFile: read.K8SCLAW_TOKEN_FILE, trust },
    trust,
    tlsDir: read.K8SCLAW_TLS_DIR,
    runTokenKeyFile: read.K8SCLAW_RUN_TOKEN_KEY_FILE,
  }
}
