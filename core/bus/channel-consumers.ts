import { isClawError } from '#core/errors'
import { type ChannelAddress, channelConsumer, channelConsumerInfo, channelSubjects } from '#core/identity'
import { jsRequest } from './api.ts'
import type { Bus } from './bus.ts'
import type { ConsumerName } from './pull.ts'
import { ensureConsumer } from './streams.ts'

const second = 1_000_000_000

/** What a channel is to say, as the channel itself reads it. */
export function consumerOfChannel(channel: ChannelAddress): ConsumerName {
  const consumer = channelConsumer(channel)
  return { stream: 'CHANNEL_SEND', consumer, info: channelConsumerInfo(consumer) }
}

/** Makes the consumer over what a channel is to say, which the channel may use and not make. */
export async function ensureChannelConsumer(bus: Bus, channel: ChannelAddress): Promise<void> {
  await ensureConsumer(bus, 'CHANNEL_SEND', {
    durable_name: channelConsumer(channel),
    filter_subject: channelSubjects(channel).send,
    ack_policy: 'explicit',
    deliver_policy: 'all',
    max_deliver: -1,
    // A channel that died while it held an item is followed by one that waits this long at most.
    ack_wait: 5 * second,
    max_ack_pending: 4096,
  })
}

/**
 * Forgets a channel that is no more: its consumer, and whatever it received, was to say or has said. A later one of its
 * name begins anew. The messages that the router has not taken yet go with it.
 */
export async function forgetChannel(bus: Bus, channel: ChannelAddress): Promise<void> {
  const { received, send, health, sent, conversation } = channelSubjects(channel)
  try {
    await jsRequest(bus, `CONSUMER.DELETE.CHANNEL_SEND.${channelConsumer(channel)}`)
  } catch (error) {
    if (!isClawError(error, 'not_found')) throw error
  }
  await jsRequest(bus, 'STREAM.PURGE.CHANNEL_RECEIVED', { filter: received })
  await jsRequest(bus, 'STREAM.PURGE.CHANNEL_SEND', { filter: send })
  await jsRequest(bus, 'STREAM.PURGE.CHANNEL_HEALTH', { filter: health })
  await jsRequest(bus, 'STREAM.PURGE.KV_sent', { filter: sent('*') })
  await jsRequest(bus, 'STREAM.PURGE.KV_conversations', { filter: conversation('*') })
}
