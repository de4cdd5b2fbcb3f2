import * as z from 'zod'
import { ClawError } from '#core/errors'
import {
  busUrl,
  databaseUrl,
  httpUrl,
  listen,
  metricsVariables,
  parseEnvironment,
  tlsVariables,
  trustOf,
} from '#core/settings'

const variables = z.object({
  K8SCLAW_LISTEN: listen('127.0.0.1:8080'),
  EVENT_BUS_URL: busUrl,
  K8SCLAW_IDENTITY_URL: httpUrl,
  K8SCLAW_TOKEN_FILE: z.string().min(1),
  DATABASE_URL: databaseUrl.optional(),
  /** A service with OpenAI's `/embeddings`; without it the built-in encoder for English. */
  K8SCLAW_EMBEDDINGS_URL: httpUrl.optional(),
  K8SCLAW_EMBEDDINGS_MODEL: z.string().min(1).max(256).optional(),
  K8SCLAW_EMBEDDINGS_DIMENSIONS: z.coerce.number().int().min(1).max(2000).optional(),
  K8SCLAW_EMBEDDINGS_KEY_FILE: z.string().startsWith('/').optional(),
  /** The operator's own prices of models, as YAML; it need not exist. */
  K8SCLAW_PRICES_FILE: z.string().startsWith('/').optional(),
  ...tlsVariables,
  ...metricsVariables,
})

/** The environment as the API server reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const read = parseEnvironment(variables, env)
  const trust = trustOf(read)
  return {
    listen: read.K8SCLAW_LISTEN,
    metrics: read.K8SCLAW_METRICS_LISTEN,
    pricesFile: read.K8SCLAW_PRICES_FILE,
    busUrl: read.EVENT_BUS_URL,
    identity: { url: read.K8SCLAW_IDENTITY_URL, tokenFile: read.K8SCLAW_TOKEN_FILE, trust },
    databaseUrl: read.DATABASE_URL,
    embeddings: embeddingsOf(read),
    trust,
    tlsDir: read.K8SCLAW_TLS_DIR,
  }
}

/** The service of embeddings, where one is named: whole, or not at all. */
function embeddingsOf(read: z.output<z.ZodObject<typeof variables.shape>>) {
  const url = read.K8SCLAW_EMBEDDINGS_URL
  if (url === undefined) return undefined
  const [model, dimensions] = [read.K8SCLAW_EMBEDDINGS_MODEL, read.K8SCLAW_EMBEDDINGS_DIMENSIONS]
  if (model === undefined || dimensions === undefined) {
    const field = model === undefined ? 'K8SCLAW_EMBEDDINGS_MODEL' : 'K8SCLAW_EMBEDDINGS_DIMENSIONS'
    throw new ClawError('invalid', `${field} is needed beside K8SCLAW_EMBEDDINGS_URL`, { field })
  }
  return { url, model, dimensions, keyFile: read.K8SCLAW_EMBEDDINGS_KEY_FILE }
}
