/**
 * Who owns a data folder. The kernel decides it, by the lock of an SQLite file: of any number that start at once one gets
 * it, and it ends with its process, however that ends. The file `lock` beside it says who that is.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ClawError, errorMessage } from '#core/errors'

interface Owner {
  pid: number
  /** Start of the process in clock ticks since boot (proc(5), field 22): tells a reused pid from the old one. */
  startTime: string
}

export interface Lock {
  /** True when the last owner ended without `down`: killed, or the machine went away. */
  wasStale: boolean
  release(): void
}

/** Takes the folder for this process. Throws ClawError `unavailable` with one sentence where another one has it. */
export function takeLock(folder: string): Lock {
  const held = exclusive(folder)
  const previous = readOwner(folder)
  // Held, and its owner alive: that one is of a version that knew no lock.db, or was deprived of it.
  if (!held || (previous && isAlive(previous))) {
    held?.close()
    const who = previous ? ` (pid ${previous.pid})` : ''
    throw new ClawError(
      'unavailable',
      `k8sclaw already runs on ${folder}${who}; stop it with: k8sclaw down --data-dir ${folder}`,
    )
  }
  try {
    writeOwner(folder, { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' })
  } catch (error) {
    held.close()
    throw cannotBeTaken(folder, error)
  }
  return {
    wasStale: previous !== undefined,
    release() {
      rmSync(ownerPath(folder), { force: true })
      held.close()
    },
  }
}

/** A process that runs on a data folder. */
export interface Running {
  pid: number
  isAlive(): boolean
}

/** The process that runs on a data folder, if one does. */
export function runningOn(path: string): Running | undefined {
  const owner = readOwner(resolve(path))
  return owner && isAlive(owner) ? { pid: owner.pid, isAlive: () => isAlive(owner) } : undefined
}

/** The lock, held until it is closed; nothing while another process holds it. */
function exclusive(folder: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(join(folder, 'lock.db'))
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database?.close()
    const busy = 5
    if ((error as { errcode?: number }).errcode === busy) return undefined
    throw cannotBeTaken(folder, error)
  }
}

function cannotBeTaken(folder: string, error: unknown): ClawError {
  return new ClawError('unavailable', `the data folder ${folder} cannot be taken: ${errorMessage(error)}`, {
    cause: error,
  })
}

function ownerPath(folder: string): string {
  return join(folder, 'lock')
}

function readOwner(folder: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(ownerPath(folder), 'utf8')) as Owner
  } catch {
    return undefined
  }
}

/** Whole or not at all, for `down` reads it at any time. */
function writeOwner(folder: string, owner: Owner): void {
  const path = ownerPath(folder)
  writeFileSync(`${path}.new`, `${JSON.stringify(owner)}\n`, { mode: 0o644 })
  renameSync(`${path}.new`, path)
}

function isAlive(owner: Owner): boolean {
  return startTimeOf(owner.pid) === owner.startTime
}

function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
