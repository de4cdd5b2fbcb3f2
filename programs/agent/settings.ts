import * as z from 'zod'

const variables = z.object({
  K8SCLAW_IPC_DIR: z.string().min(1).default('/ipc'),
  K8SCLAW_SKILLS_DIR: z.string().min(1).default('/skills'),
  OPENAI_BASE_URL: z.url(),
  OPENAI_API_KEY: z.string().min(1),
  ANTHROPIC_BASE_URL: z.url(),
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

/** The environment as this program reads it, or one sentence that names the first wrong variable. */
export function readSettings(env: NodeJS.ProcessEnv): Settings | { error: string } {
  const parsed = variables.safeParse(env)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return { error: `${issue?.path.join('.')}: ${issue?.message}` }
  }
  const { data } = parsed
  return {
    ipcDir: data.K8SCLAW_IPC_DIR,
    skillsDir: data.K8SCLAW_SKILLS_DIR,
    openai: { baseURL: data.OPENAI_BASE_URL, apiKey: data.OPENAI_API_KEY },
    anthropic: { baseURL: data.ANTHROPIC_BASE_URL, apiKey: data.ANTHROPIC_API_KEY },
  }
}
