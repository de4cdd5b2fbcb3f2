import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'

/** Resident memory of the largest process of a program that descends from a process; 0 if none does. */
export function residentMiB(ancestor: number, program: string): number {
  const parents = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), parentOf(Number(name))]),
  )
  const descends = (of: number): boolean => {
    const parent = parents.get(of)
    return parent !== undefined && (parent === ancestor || descends(parent))
  }
  const sizes = [...parents.keys()].filter((each) => runs(each, program) && descends(each)).map(sizeOf)
  return Math.max(0, ...sizes)
}

function runs(pid: number, program: string): boolean {
  try {
    const isNode = basename(readlinkSync(`/proc/${pid}/exe`)).startsWith('node')
    // Named as its container sees it, wherever its bundle is mounted.
    return isNode && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`/${program}.mjs\0`)
  } catch {
    return false
  }
}

function parentOf(pid: number): number | undefined {
  return numberIn(`/proc/${pid}/status`, /^PPid:\s*(\d+)/m)
}

function sizeOf(pid: number): number {
  return (numberIn(`/proc/${pid}/status`, /^VmRSS:\s*(\d+) kB/m) ?? 0) / 1024
}

/** The process may have ended meanwhile. */
function numberIn(file: string, pattern: RegExp): number | undefined {
  try {
    const found = pattern.exec(readFileSync(file, 'utf8'))?.[1]
    return found === undefined ? undefined : Number(found)
  } catch {
    return undefined
  }
}
