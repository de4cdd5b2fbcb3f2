import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Figure, figure, type Skip } from './figures.ts'
import type { Subject } from './subject.ts'

const times = 3
/** Goals: 75 MB and 120 MB. */
const goalMiB = { bridge: 75, agent: 120 }

/** A model that works with a tool and is then silent for a while, in which the run is at work and holds still. */
const script = `
steps:
  - when: { turns: 0 }
    reply:
      text: I look first.
      toolCalls: [{ name: exec, arguments: { script: 'uname -a' } }]
  - reply: { text: [waiting, done], delayMs: 2000 }
`

/** rssBridge and rssAgent: resident memory of their processes while a model call is under way, the largest seen. */
export async function memoryAtWork(subject: Subject): Promise<Record<'rssBridge' | 'rssAgent', Figure | Skip>> {
  await subject.secret('bench-hold', { script })
  await subject.instance('bench-hold', { sandbox: { enabled: true } }, 'bench-hold')
  const seen = { bridge: [] as number[], agent: [] as number[] }
  for (let i = 0; i < times; i++) {
    const run = subject.perform(`bench-hold-${i}`, { instanceRef: { name: 'bench-hold' } })
    const largest = { bridge: 0, agent: 0 }
    const timer = setInterval(() => {
      for (const program of ['bridge', 'agent'] as const) {
        largest[program] = Math.max(largest[program], residentMiB(subject.platform.dataDir, program))
      }
    }, 100)
    await run.finally(() => clearInterval(timer))
    for (const program of ['bridge', 'agent'] as const) if (largest[program] > 0) seen[program].push(largest[program])
  }
  return {
    rssBridge: figure('MiB', seen.bridge, goalMiB.bridge),
    rssAgent: figure('MiB', seen.agent, goalMiB.agent),
  }
}

/** Resident memory of the processes of a program that descend from the platform on this data folder; 0 if none does. */
function residentMiB(dataDir: string, program: string): number {
  const { pid } = JSON.parse(readFileSync(join(dataDir, 'lock'), 'utf8')) as { pid: number }
  const parents = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), parentOf(Number(name))]),
  )
  const descends = (of: number): boolean => {
    const parent = parents.get(of)
    return parent !== undefined && (parent === pid || descends(parent))
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
