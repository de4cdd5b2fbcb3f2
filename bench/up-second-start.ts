import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestPlatform } from '../test/support/platform.ts'
import { type Bench, figure, timed } from './figures.ts'

/** Goal: 3 s. */
const goalMs = 3_000
const times = 3

/** upSecondStart: `k8sclaw up --detach` on a data folder that was used before, until it returns; held against the goal. */
export const upSecondStart: Bench = {
  figures: ['upSecondStart'],
  async take() {
    const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-bench-'))
    const dataDir = join(folder, 'data')
    try {
      await (await startTestPlatform({ dataDir })).close()
      const samples: number[] = []
      for (let i = 0; i < times; i++) {
        let platform: Awaited<ReturnType<typeof startTestPlatform>> | undefined
        samples.push(
          await timed(async () => {
            platform = await startTestPlatform({ dataDir })
          }),
        )
        await platform?.close()
      }
      return { upSecondStart: figure('ms', samples, goalMs) }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}
