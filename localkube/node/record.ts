/**
 * What is left of a container when the node dies: a file that says which process it was and how it ended. A process is
 * known by its id and its start time, since ids are used again.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'

export interface ContainerRecord {
  /** 0 while it is about to be started. */
  pid: number
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot. */
  processStart: string
  restartCount: number
  startedAt: string
  /** Set once it ended. */
  exitCode?: number
  finishedAt?: string
}

/** Written at once, not later: the node may die on the next line. */
export function writeRecord(path: string, record: ContainerRecord): void {
  writeFileSync(`${path}.next`, JSON.stringify(record))
  renameSync(`${path}.next`, path)
}

export function readRecord(path: string): ContainerRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ContainerRecord
  } catch {
    // Never started, or the machine went down in the middle of the first write: nothing is known either way.
    return undefined
  }
}
