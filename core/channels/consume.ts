import type * as z from 'zod'
import { type Bus, type BusMessage, consume, consumeOwn, consumerOfChannel, lastMessage } from '#core/bus'
import { errorMessage } from '#core/errors'
import { type ChannelAddress, channelOfSubject, channelSubjects } from '#core/identity'
import { type Health, health, type Received, received, type SendItem, sendItem } from './messages.ts'

/** Something that was taken off the bus; to be acknowledged once its effect is done. */
export interface Taken<T> {
  channel: ChannelAddress
  value: T
  message: Pick<BusMessage, 'ack' | 'retry' | 'working' | 'redelivered' | 'sequence' | 'at'>
}

const second = 1_000_000_000
/** The durable of the router, and how long the bus waits for a sign of life of whoever holds a message. */
export const routerConsumer = { stream: 'CHANNEL_RECEIVED', consumer: 'router', ackWaitMs: 10_000 } as const

/**
 * What all channels have received, each until it is acknowledged, in the order of the bus. One reader at a time: the
 * controller's leader. Whoever holds a message longer than `ack_wait` says `working`.
 */
export async function* receivedMessages(bus: Bus, signal: AbortSignal): AsyncGenerator<Taken<Received>> {
  const own = {
    durable_name: routerConsumer.consumer,
    filter_subject: 'k8sclaw.*.*.channel.*.received',
    ack_policy: 'explicit',
    deliver_policy: 'all',
    max_deliver: -1,
    ack_wait: (routerConsumer.ackWaitMs / 1000) * second,
    // Held messages, of conversations whose run is still going, count.
    max_ack_pending: 16_384,
  } as const
  for await (const message of consumeOwn(bus, routerConsumer.stream, own, signal))
    yield* understood(bus, received, message)
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
