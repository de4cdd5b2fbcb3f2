import { randomUUID } from 'node:crypto'
import { type Bus, type Published, publish } from '#core/bus'
import { type ChannelAddress, channelSubjects } from '#core/identity'
import { type Health, health, type Received, received, type SendItem, sendItem } from './messages.ts'

/**
 * Publishes a message of a person and returns once it is stored. `id` tells it from every message of every channel, the
 * same each time, and nobody else can guess it: with a known one, another channel could have it taken for a repetition.
 */
export function publishReceived(
  bus: Bus,
  channel: ChannelAddress,
  message: Received,
  { id, signal }: { id: string; signal?: AbortSignal },
): Promise<Published> {
  const { received: subject } = channelSubjects(channel)
  return publish(bus, subject, received.parse(message), { id, ...(signal && { signal }) })
}

/** Puts something into a channel's outbox; an item whose id was there within a day is not put there again. */
export function publishSend(
  bus: Bus,
  channel: ChannelAddress,
  item: SendItem,
  { signal }: { signal?: AbortSignal } = {},
): Promise<Published> {
  const { send } = channelSubjects(channel)
  const parsed = sendItem.parse(item)
  return publish(bus, send, parsed, { id: `${send}/${parsed.id}`, ...(signal && { signal }) })
}

/** Says how the service of a channel is. */
export async function publishHealth(
  bus: Bus,
  channel: ChannelAddress,
  said: Health,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const { health: subject } = channelSubjects(channel)
  await publish(bus, subject, health.parse(said), { id: randomUUID(), ...(signal && { signal }) })
}
