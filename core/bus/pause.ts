import { setTimeout as sleep } from 'node:timers/promises'
import { ClawError } from '#core/errors'

/** Waits, or throws `unavailable` as soon as the signal aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (cause) {
    throw stopped(cause)
  }
}

/** What every operation throws that was given up because its signal aborted. */
export function stopped(cause?: unknown): ClawError {
  return new ClawError('unavailable', 'stopped before the bus answered', { cause, retryable: false })
}
