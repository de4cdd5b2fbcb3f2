import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Figure, figure, type Skip } from './figures.ts'
import { residentMiB } from './resident.ts'
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
  const owner = ownerOf(subject.platform.dataDir)
  const seen = { bridge: [] as number[], agent: [] as number[] }
  for (let i = 0; i < times; i++) {
    const run = subject.perform(`bench-hold-${i}`, { instanceRef: { name: 'bench-hold' } })
    const largest = { bridge: 0, agent: 0 }
    const timer = setInterval(() => {
      for (const program of ['bridge', 'agent'] as const) {
        largest[program] = Math.max(largest[program], residentMiB(owner, program))
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

/** The process that holds the platform's data folder; all of the platform descends from it. */
export function ownerOf(dataDir: string): number {
  return (JSON.parse(readFileSync(join(dataDir, 'lock'), 'utf8')) as { pid: number }).pid
}
