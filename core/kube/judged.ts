import { setTimeout as sleep } from 'node:timers/promises'
import { isClawError } from '#core/errors'

/** Longer than a cluster needs to notice that a webhook died; a rollout needs none of it. */
const usualPatienceMs = 10_000
const [firstPauseMs, longestPauseMs] = [100, 2_000]

/**
 * Does a write, and does it again where nobody could judge it: a moment after a webhook died the API server still asks
 * it, and has to refuse what it should have seen. Such a write was not done, so that no name is taken and nothing is
 * doubled. Throws what the last try threw; `unjudged` where that is all that `patienceMs` had to give.
 */
export async function untilJudged<T>(write: () => Promise<T>, patienceMs = usualPatienceMs): Promise<T> {
  const deadline = performance.now() + patienceMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      return await write()
    } catch (error) {
      if (!isClawError(error, 'unjudged') || performance.now() + pauseMs > deadline) throw error
    }
    // Many wait for the same webhook.
    await sleep(pauseMs * (0.5 + Math.random() / 2))
  }
}
