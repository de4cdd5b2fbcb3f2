import * as z from 'zod'
import { busUrl, httpUrl, listen, parseEnvironment } from '#core/settings'

const name = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be a DNS label')

const variables = z.object({
  K8SCLAW_RUN_UID: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'must be the uid of an AgentRun'),
  K8SCLAW_NAMESPACE: name,
  K8SCLAW_INSTANCE: name,
  K8SCLAW_ATTEMPT: z.coerce.number().int().min(1).default(1),
  K8SCLAW_IPC_DIR: z.string().startsWith('/').default('/ipc'),
  K8SCLAW_SKILLS_DIR: z.string().startsWith('/').default('/skills'),
  K8SCLAW_SKILL_SOURCES_DIR: z.string().startsWith('/').optional(),
  K8SCLAW_SKILLS_OUT_DIR: z.string().startsWith('/').optional(),
  K8SCLAW_SANDBOX_SOCKET: z.string().startsWith('/').max(107).optional(),
  K8SCLAW_TOKEN_FILE: z.string().min(1),
  K8SCLAW_IDENTITY_URL: httpUrl,
  EVENT_BUS_URL: busUrl,
  K8SCLAW_GATEWAY_URL: httpUrl,
  /** The authorities of bus, identity endpoint and gateway, as PEM: a file would be one more thing in every pod. */
  K8SCLAW_CA: z.string().startsWith('-----BEGIN CERTIFICATE-----').optional(),
  K8SCLAW_LISTEN: listen('127.0.0.1:8088'),
  K8SCLAW_BRIDGE_KEY: z.string().min(16),
})

/** The environment as the bridge reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv) {
  const data = parseEnvironment(variables, env)
  const trust = data.K8SCLAW_CA === undefined ? {} : { ca: data.K8SCLAW_CA }
  const { K8SCLAW_SKILL_SOURCES_DIR: sources, K8SCLAW_SKILLS_OUT_DIR: out } = data
  return {
    run: { namespace: data.K8SCLAW_NAMESPACE, instance: data.K8SCLAW_INSTANCE, uid: data.K8SCLAW_RUN_UID },
    attempt: data.K8SCLAW_ATTEMPT,
    ipcDir: data.K8SCLAW_IPC_DIR,
    /** As the agent sees it. */
    skillsDir: data.K8SCLAW_SKILLS_DIR,
    /** As they are mounted here. */
    skillFolders: sources === undefined || out === undefined ? undefined : { sources, out },
    sandboxSocket: data.K8SCLAW_SANDBOX_SOCKET,
    identity: { url: data.K8SCLAW_IDENTITY_URL, tokenFile: data.K8SCLAW_TOKEN_FILE, trust },
    busUrl: data.EVENT_BUS_URL,
    gatewayUrl: data.K8SCLAW_GATEWAY_URL,
    trust,
    listen: data.K8SCLAW_LISTEN,
    key: data.K8SCLAW_BRIDGE_KEY,
  }
}
export type Settings = ReturnType<typeof readSettings>
