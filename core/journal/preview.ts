import { type Bus, publish, send } from '#core/bus'
import { type RunAddress, runSubjects } from '#core/identity'
import type { LiveMessage } from './live-message.ts'
import type { UsageMessage } from './messages.ts'

/** Publishes a piece of text as it streams, without waiting: a lost piece is replaced by the recorded answer. */
export function publishLive(bus: Bus, run: RunAddress, message: LiveMessage): void {
  const { liveModel, liveAgent } = runSubjects(run)
  send(bus, message.source === 'model' ? liveModel : liveAgent, message)
}

/**
 * Publishes what one model request used, once: `id` tells this request from another one of the same step. Returns when
 * it is stored; throws as `publish` does.
 */
export async function publishUsage(
  bus: Bus,
  run: RunAddress,
  message: UsageMessage,
  { id, signal }: { id: string; signal?: AbortSignal },
): Promise<void> {
  const { run: uid, attempt, step } = message
  await publish(bus, runSubjects(run).usage, message, {
    id: `${uid}/${attempt}/usage-${step}/${id}`,
    ...(signal && { signal }),
  })
}
