import * as z from 'zod'
import { busUrl, databaseUrl, httpUrl, listen, parseEnvironment, tlsVariables, trustOf } from '#core/settings'

const variables = z.object({
  K8SCLAW_LISTEN: listen('127.0.0.1:8080'),
  EVENT_BUS_URL: busUrl,
  K8SCLAW_IDENTITY_URL: httpUrl,
  K8SCLAW_TOKEN_FILE: z.string().min(1),
  DATABASE_URL: databaseUrl.optional(),
  ...tlsVariables,
})

/** The environment as the API server reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const read = parseEnvironment(variables, env)
  const trust = trustOf(read)
  return {
    listen: read.K8SCLAW_LISTEN,
    busUrl: read.EVENT_BUS_URL,
    identity: { url: read.K8SCLAW_IDENTITY_URL, tokenFile: read.K8SCLAW_TOKEN_FILE, trust },
    databaseUrl: read.DATABASE_URL,
    trust,
    tlsDir: read.K8SCLAW_TLS_DIR,
  }
}
