import { accessSync, chmodSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ClawError, errorMessage } from '#core/errors'
import { takeLock } from './lock.ts'

/** What a data folder remembers between starts, so that a second start answers at the same addresses. */
export interface Remembered {
  /** Second number of the part of 127.0.0.0/8 that this platform uses: 127.<octet>.x.y. */
  octet?: number
  /** TCP port on 127.0.0.1 at which people reach the API server. */
  port?: number
}

/** Where `k8sclaw up` keeps everything when no --data-dir is given. */
export function defaultDataDir(env: NodeJS.ProcessEnv = process.env): string {
  if (process.getuid?.() === 0) return '/var/lib/k8sclaw'
  return join(env.XDG_DATA_HOME ?? join(homedir(), '.local', 'share'), 'k8sclaw')
}

export interface DataFolder {
  path: string
  remembered: Remembered
  /** True when the last owner ended without `down`: killed, or the machine went away. */
  wasStale: boolean
  remember(values: Remembered): void
  release(): void
}

/**
 * Makes the folder if it is missing and takes it for this process. Throws ClawError with one sentence for a person:
 * `unavailable` where another k8sclaw runs on it, `invalid` where it cannot be written.
 */
export function takeDataFolder(path: string): DataFolder {
  const folder = resolve(path)
  try {
    makeFolder(folder)
    accessSync(folder, constants.W_OK)
    chmodSync(folder, 0o711)
  } catch (error) {
    throw new ClawError('invalid', `the data folder ${folder} cannot be written: ${errorMessage(error)}`, {
      cause: error,
      field: 'data-dir',
    })
  }
  const { wasStale, release } = takeLock(folder)
  const stateFile = join(folder, 'state.json')
  const remembered = readJson<Remembered>(stateFile) ?? {}
  return {
    path: folder,
    remembered,
    wasStale,
    remember(values) {
      Object.assign(remembered, values)
      writeFileSync(stateFile, `${JSON.stringify(remembered)}\n`)
    },
    release,
  }
}

/** Makes a folder and what is missing above it, one by one: Node's recursive mkdir never returns below /proc. */
export function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  mkdirSync(path, { mode: 0o711 })
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T
  } catch {
    return undefined
  }
}
