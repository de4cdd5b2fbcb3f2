import { startTestPlatform } from '../test/support/platform.ts'
import { coldRun } from './cold-run.ts'
import { type Bench, type Figure, reasonOf, type Skip } from './figures.ts'
import { memoryAtWork } from './memory.ts'
import { resultToStatus } from './result-to-status.ts'
import { streamLatency } from './stream-latency.ts'
import { Subject } from './subject.ts'

/** What measures a figure, or two that show in the same runs. */
const measures: { names: readonly string[]; take: (subject: Subject) => Promise<Record<string, Figure | Skip>> }[] = [
  { names: ['coldRun', 'coldRunOverNode'], take: coldRun },
  { names: ['resultToStatus'], take: async (subject) => ({ resultToStatus: await resultToStatus(subject) }) },
  { names: ['streamLatency'], take: async (subject) => ({ streamLatency: await streamLatency(subject) }) },
  { names: ['rssBridge', 'rssAgent'], take: memoryAtWork },
]

/** The figures that are taken on one platform, started for them as a user starts it. */
export const platformFigures: Bench = {
  figures: measures.flatMap(({ names }) => names),
  async take(wanted) {
    const platform = await startTestPlatform()
    try {
      const subject = await Subject.prepare(platform)
      const taken: Record<string, Figure | Skip> = {}
      for (const { names, take } of measures.filter((m) => m.names.some((name) => wanted.includes(name)))) {
        const skip = (error: unknown) => Object.fromEntries(names.map((name) => [name, { skipped: reasonOf(error) }]))
        Object.assign(taken, await take(subject).catch(skip))
      }
      subject.close()
      return taken
    } finally {
      await platform.close()
    }
  },
}
