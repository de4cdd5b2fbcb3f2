import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

/** Ticks of the kernel's clock, of which all Linux machines show a hundred a second. */
const tickMs = 10

/** Processor time by process id, milliseconds; a bundle is named as its file. */
export type CpuTimes = ReadonlyMap<number, { name: string; ms: number }>

/**
 * The processor time that this process and all that descend from it have used until now. It does not depend on what else the machine does as times do, though shared caches do cost. Empty where
 * there is no /proc.
 */
export function cpuTimes(ancestor: number = process.pid): CpuTimes {
  const all = new Map(pids().flatMap((pid) => statOf(pid)))
  const descends = (pid: number): boolean => {
    const parent = all.get(pid)?.parent
    return pid === ancestor || (parent !== undefined && parent > 1 && descends(parent))
  }
  return new Map([...all].filter(([pid]) => descends(pid)).map(([pid, { ms }]) => [pid, { name: nameOf(pid), ms }]))
}

/** What each program has used between two looks, the most first. */
export function cpuBetween(before: CpuTimes, after: CpuTimes): [name: string, ms: number][] {
  const sums = new Map<string, number>()
  for (const [pid, { name, ms }] of after) {
    sums.set(name, (sums.get(name) ?? 0) + ms - (before.get(pid)?.ms ?? 0))
  }
  return [...sums].filter(([, ms]) => ms > 0).sort(([, one], [, other]) => other - one)
}

function pids(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** Nothing for a process that has ended meanwhile. */
function statOf(pid: number): [number, { parent: number; ms: number }][] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Behind the name, which may hold anything: state, parent, ..., utime, stime, and those of children waited for.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return [[pid, { parent: Number(fields[1]), ms: (Number(fields[11]) + Number(fields[12])) * tickMs }]]
  } catch {
    return []
  }
}

function nameOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const script = words.find((word) => /\.(mjs|ts|cjs)$/.test(word))
    return basename(script ?? words[0] ?? '')
  } catch {
    return ''
  }
}
