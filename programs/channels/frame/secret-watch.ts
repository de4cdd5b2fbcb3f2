import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Whether the Secret is still what the variables were taken from, key by key; a key that went or came counts. A folder
 * that cannot be read says nothing.
 */
export async function secretChanged(
  folder: string,
  env: NodeJS.ProcessEnv,
  names: readonly string[],
): Promise<boolean> {
  const there = await readdir(folder).catch(() => undefined)
  if (!there) return false
  for (const name of names) {
    const now = there.includes(name) ? await readFile(join(folder, name), 'utf8').catch(() => undefined) : undefined
    if (now !== env[name]) return true
  }
  return false
}
