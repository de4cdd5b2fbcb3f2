import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '#core/bus'
import type { SendItem, Taken } from '#core/channels'
import { errorMessage } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import { inOrder } from './in-order.ts'
import { Lanes } from './lanes.ts'
import { held } from './metrics.ts'
import type { Speaker } from './speaker.ts'

/** Well within the consumer's ack_wait, of which a bus that hiccups may take its part. */
const workingMs = 1_500
const retryMs = 1_000
/** Each may hold a file in memory. */
const fetchLanes = 2

export interface OutboxOptions {
  bus: Bus
  channel: ChannelAddress
  speaker: Speaker
  signal: AbortSignal
}

/**
 * Takes what is to be said off the bus until the signal aborts: in order within a conversation, all conversations at
 * once. Each item is acknowledged when it is done with, and kept from coming again until then.
 */
export async function emptyOutbox({ bus, channel, speaker, signal }: OutboxOptions): Promise<void> {
  const lanes = new Lanes()
  /** By sequence: an item that comes again while it is held is the same item. */
  const items = new Map<number, Taken<SendItem>['message']>()
  const unwatch = held.watch({}, () => items.size)
  const beat = setInterval(() => {
    for (const message of items.values()) message.working()
  }, workingMs)
  try {
    for await (const taken of inOrder({ bus, channel, held: items, signal })) {
      const { sequence } = taken.message
      const known = items.has(sequence)
      items.set(sequence, taken.message)
      if (known) continue
      const done = () => {
        items.get(sequence)?.ack()
        items.delete(sequence)
      }
      lanes.put(laneOf(taken), () => patiently(() => speaker.say(taken, done), bus, signal))
    }
    await lanes.idle()
  } finally {
    // For whoever comes next, at once.
    for (const message of items.values()) message.retry()
    clearInterval(beat)
    unwatch()
  }
}

/** Files are fetched beside the conversation, which they must not hold up: so many at once as there are lanes. */
function laneOf({ value: { type, chat, thread }, message }: Taken<SendItem>): string {
  return type === 'fetch' ? `files ${message.sequence % fetchLanes}` : JSON.stringify([chat.id, thread])
}

/** What fails here failed at the bus: the service's failures are the speaker's to bear. */
async function patiently(work: () => Promise<void>, bus: Bus, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted) return
      bus.log.warn({ error: errorMessage(error) }, 'not said yet')
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }
}
