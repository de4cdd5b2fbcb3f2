import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface SecretWatch {
  /** Where the keys of the Secret lie as files, as the Secret is now. */
  dir: string
  /** The variables that the channel was started with, of which the named ones are keys of the Secret. */
  env: Readonly<Record<string, string | undefined>>
  names: readonly string[]
  signal: AbortSignal
  everyMs?: number
}

/**
 * Resolves once the Secret is other than what the variables were taken from, key by key; a key that went or came counts.
 * Never, once the signal has aborted. It takes a change of the files too: for a minute after a start they may be older
 * than the variables. A folder that cannot be read says nothing.
 */
export async function secretChanged({ dir, env, names, signal, everyMs = 10_000 }: SecretWatch): Promise<void> {
  let first = await read(dir)
  for (;;) {
    // Rejects once the signal has aborted.
    await sleep(everyMs, undefined, { signal }).catch(() => new Promise<never>(() => {}))
    const now = await read(dir)
    first ??= now
    if (now && names.some((name) => now.get(name) !== first?.get(name) && now.get(name) !== env[name])) return
  }
}

async function read(dir: string): Promise<Map<string, string> | undefined> {
  const names = await readdir(dir).catch(() => undefined)
  if (!names) return undefined
  const files = names.map(async (name) => {
    // Also for what is no file, such as the folder that holds them.
    const text = await readFile(join(dir, name), 'utf8').catch(() => undefined)
    return text === undefined ? [] : [[name, text] as const]
  })
  return new Map((await Promise.all(files)).flat())
}
