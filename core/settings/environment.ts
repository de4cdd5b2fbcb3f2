import type * as z from 'zod'
import { ClawError, isClawError } from '#core/errors'

/** What `schema` reads from `env`. Throws ClawError `invalid` that names the first variable that is wrong. */
export function parseEnvironment<T extends z.ZodObject>(schema: T, env: NodeJS.ProcessEnv): z.output<T> {
  const parsed = schema.safeParse(env)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = String(issue?.path[0])
  const what = env[field] === undefined ? 'is not set' : `is not usable: ${issue?.message}`
  throw new ClawError('invalid', `the environment variable ${field} ${what}`, { field })
}

/** The settings of a program that cannot start without them: what `read` gives, or one sentence and exit status 2. */
export function settingsOrExit<T>(program: string, read: (env: NodeJS.ProcessEnv) => T): T {
  try {
    return read(process.env)
  } catch (error) {
    if (!isClawError(error, 'invalid')) throw error
    process.stderr.write(`k8sclaw-${program}: ${error.message}\n`)
    process.exit(2)
  }
}
