/**
 * Ends what an earlier node left running. Containers die with their node by the kernel's parent-death signal, but a
 * process that is just being started may miss it, and without namespaces a container's children never get it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { ContainerRecord } from './record.ts'

/** In the environment of everything that a node starts; its value is the node's data folder. */
export const nodeVariable = 'LOCALKUBE_NODE'

/** Kills the processes of the node of this data folder, by their mark and by what the records say; how many. */
export function endSurvivors(dataDir: string, records: ContainerRecord[]): number {
  const mark = Buffer.from(`\0${nodeVariable}=${dataDir}\0`)
  const sessions = new Set(records.filter(mayLive).map((record) => record.pid))
  let killed = 0
  for (const pid of readdirSync('/proc').map(Number)) {
    if (!Number.isInteger(pid) || pid === process.pid) continue
    if (!isMarked(pid, mark) && !sessions.has(statOf(pid)?.session ?? 0)) continue
    try {
      process.kill(pid, 'SIGKILL')
      killed++
    } catch {
      // It ended by itself meanwhile.
    }
  }
  return killed
}

/** The start time of a process, or '' where it has ended. */
export function processStart(pid: number): string {
  return statOf(pid)?.start ?? ''
}

/** The record's session may have members, unless its number belongs to a younger process by now. */
function mayLive({ pid, exitCode, processStart: start }: ContainerRecord): boolean {
  if (pid === 0 || exitCode !== undefined) return false
  const leader = statOf(pid)
  return leader === undefined || leader.start === start
}

function isMarked(pid: number, mark: Buffer): boolean {
  try {
    return Buffer.concat([Buffer.from('\0'), readFileSync(`/proc/${pid}/environ`)]).includes(mark)
  } catch {
    // It has ended, or belongs to someone whose processes we may not see: then it is none of ours.
    return false
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
