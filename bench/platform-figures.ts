import { startTestPlatform } from '../test/support/platform.ts'
import { coldRun } from './cold-run.ts'
import type { Bench, Figure, Skip } from './figures.ts'
import { memoryAtWork } from './memory.ts'
import { resultToStatus } from './result-to-status.ts'
import { streamLatency } from './stream-latency.ts'
import { Subject } from './subject.ts'

/** The figures that are taken on one platform, started for them as a user starts it. */
export const platformFigures: Bench = {
  figures: ['coldRun', 'resultToStatus', 'streamLatency', 'rssBridge', 'rssAgent'],
  async take() {
    const platform = await startTestPlatform()
    try {
      const subject = await Subject.prepare(platform)
      try {
        return {
          coldRun: await orSkip(() => coldRun(subject)),
          resultToStatus: await orSkip(() => resultToStatus(subject)),
          streamLatency: await orSkip(() => streamLatency(subject)),
          ...(await memoryAtWork(subject).catch((error: Error) => {
            const skip: Skip = { skipped: error.message }
            return { rssBridge: skip, rssAgent: skip }
          })),
        }
      } finally {
        subject.close()
      }
    } finally {
      await platform.close()
    }
  },
}

async function orSkip(take: () => Promise<Figure | Skip>): Promise<Figure | Skip> {
  try {
    return await take()
  } catch (error) {
    return { skipped: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error) }
  }
}
