import * as z from 'zod'
import { httpUrl, parseEnvironment } from '#core/settings'

const variables = z.object({
  K8SCLAW_IPC_DIR: z.string().min(1).default('/ipc'),
  K8SCLAW_SKILLS_DIR: z.string().min(1).default('/skills'),
  OPENAI_BASE_URL: httpUrl,
  OPENAI_API_KEY: z.string().min(1),
  ANTHROPIC_BASE_URL: httpUrl,
  ANTHROPIC_API_KEY: z.string().min(1),
})

export interface Endpoint {
  baseURL: string
  apiKey: string
}

export interface Settings {
  ipcDir: string
  skillsDir: string
  openai: Endpoint
  anthropic: Endpoint
}

/** The environment as the agent reads it. Throws ClawError `invalid` that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const data = parseEnvironment(variables, env)
  return {
    ipcDir: data.K8SCLAW_IPC_DIR,
    skillsDir: data.K8SCLAW_SKILLS_DIR,
    openai: { baseURL: data.OPENAI_BASE_URL, apiKey: data.OPENAI_API_KEY },
    anthropic: { baseURL: data.ANTHROPIC_BASE_URL, apiKey: data.ANTHROPIC_API_KEY },
  }
}
