/**
 * What is left of a container when the node dies: a file that says which process it was and how it ended. A process is
 * known by its id and its start time, since ids are used again.
 */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

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

/** The start time of a process, or '' where it has ended. */
export function processStart(pid: number): string {
  return statOf(pid)?.start ?? ''
}

/** Ends what survived of a container: the process itself and everything of its session. */
export function killLeftovers(record: ContainerRecord): number {
  if (record.pid === 0) return 0
  const leader = statOf(record.pid)
  if (leader && leader.start !== record.processStart) return 0
  let killed = 0
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    if (pid !== record.pid && statOf(pid)?.session !== record.pid) continue
    try {
      process.kill(pid, 'SIGKILL')
      killed++
    } catch {
      // It ended by itself meanwhile.
    }
  }
  return killed
}

/** The oldest child of a process: of bubblewrap's init, the container's first program. */
export function firstChild(pid: number): number | undefined {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    return first ? Number(first) : undefined
  } catch {
    return undefined
  }
}

function statOf(pid: number): { session: number; start: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in parentheses may hold anything, so count from its end: state is the third field.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { session: Number(fields[3]), start: fields[19] ?? '' }
  } catch {
    return undefined
  }
}
