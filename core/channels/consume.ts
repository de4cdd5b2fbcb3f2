import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { type Bus, type BusMessage, consume, consumerOfChannel, ensureConsumer, lastMessage, tail } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { type ChannelAddress, channelOfSubject, channelSubjects } from '#core/identity'
import { type Health, health, type Received, received, type SendItem, sendItem } from './messages.ts'

/** Something that was taken off the bus; to be acknowledged once its effect is done. */
export interface Taken<T> {
  channel: ChannelAddress
  value: T
  message: Pick<BusMessage, 'ack' | 'retry' | 'working' | 'redelivered' | 'sequence' | 'at'>
}

const retryMs = 1_000
const second = 1_000_000_000
/** The durable of the router, and how long the bus waits for a sign of life of whoever holds a message. */
export const routerConsumer = { stream: 'CHANNEL_RECEIVED', consumer: 'router', ackWaitMs: 10_000 } as const

/**
 * What all channels have received, each until it is acknowledged, in the order of the bus. One reader at a time: the
 * controller's leader. Whoever holds a message longer than `ack_wait` says `working`.
 */
export async function* receivedMessages(bus: Bus, signal: AbortSignal): AsyncGenerator<Taken<Received>> {
  await patiently(bus, signal, () =>
    ensureConsumer(bus, routerConsumer.stream, {
      durable_name: routerConsumer.consumer,
      filter_subject: 'k8sclaw.*.*.channel.*.received',
      ack_policy: 'explicit',
      deliver_policy: 'all',
      max_deliver: -1,
      ack_wait: (routerConsumer.ackWaitMs / 1000) * second,
      // Held messages, of conversations whose run is still going, count.
      max_ack_pending: 16_384,
    }),
  )
  for await (const message of consume(bus, routerConsumer, signal)) yield* understood(bus, received, message)
}

/** What one channel is to say. Waits for the consumer, which the controller makes. */
export async function* sendItems(
  bus: Bus,
  channel: ChannelAddress,
  signal: AbortSignal,
): AsyncGenerator<Taken<SendItem>> {
  for await (const message of consume(bus, consumerOfChannel(channel), signal)) {
    yield* understood(bus, sendItem, message)
  }
}

/** The last word of a channel about its service. */
export async function lastHealth(bus: Bus, channel: ChannelAddress): Promise<Health | undefined> {
  const last = await lastMessage(bus, 'CHANNEL_HEALTH', channelSubjects(channel).health)
  return health.safeParse(last?.value).data
}

/** Hands over the last word of every channel, then each further one, until the signal aborts. */
export async function followHealth(
  bus: Bus,
  signal: AbortSignal,
  onHealth: (channel: ChannelAddress, health: Health) => void,
): Promise<void> {
  await patiently(bus, signal, async () => {
    const words = await tail(bus, { stream: 'CHANNEL_HEALTH', subject: 'k8sclaw.*.*.channel.*.health', signal })
    for await (const message of words) {
      for (const { channel, value } of understood(bus, health, message)) onHealth(channel, value)
    }
  })
}

/** What is not understood is said in the log and never comes again. */
function understood<T>(bus: Bus, schema: z.ZodType<T>, message: BusMessage): Taken<T>[] {
  const { subject, sequence } = message
  const channel = channelOfSubject(subject)
  try {
    const value = schema.parse(message.value())
    if (channel) return [{ channel, value, message }]
  } catch (error) {
    bus.log.error({ subject, sequence, error: errorMessage(error) }, 'message not understood')
  }
  message.ack()
  return []
}

/** Once the bus, and the stream on it, are there. */
async function patiently(bus: Bus, signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work()
      return
    } catch (error) {
      if (signal.aborted) return
      if (!isClawError(error, 'unavailable', 'not_found') || bus.signal.aborted) throw error
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }
}
