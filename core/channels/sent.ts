import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { type Bus, directGet, lastMessage, publish } from '#core/bus'
import { type ChannelAddress, channelSubjects, hashKey } from '#core/identity'
import { maxId } from './messages.ts'

/** What a service has accepted of something that is to be said. */
export const sent = z.strictObject({
  /** How the service names the messages that it became, in order. */
  messages: z.array(z.string().min(1).max(maxId)).max(256),
  /** Whether that is all of it: then nothing more is said, however often it is delivered. */
  done: z.boolean(),
})
export type Sent = z.infer<typeof sent>

/** Under which what was said of a run is remembered, whether it shows how it goes or how it ended. */
export function sentOfRun(uid: string): string {
  return `run/${uid}`
}

/** What is remembered of an item, or of the run whose text is shown. Throws `unavailable`. */
export async function getSent(bus: Bus, channel: ChannelAddress, id: string): Promise<Sent | undefined> {
  const value = await directGet(bus, channelSubjects(channel).getSent(hashKey(id)))
  return value === undefined ? undefined : sent.parse(value)
}

/** Whether all of it was said, for whoever may read what all channels remember. Throws `unavailable`. */
export async function wasSaid(bus: Bus, channel: ChannelAddress, id: string): Promise<boolean> {
  const last = await lastMessage(bus, 'KV_sent', channelSubjects(channel).sent(hashKey(id)))
  return sent.safeParse(last?.value).data?.done ?? false
}

/** Remembers it for seven days, and returns once it is stored; tries until the signal aborts. */
export async function putSent(
  bus: Bus,
  channel: ChannelAddress,
  id: string,
  said: Sent,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const options = { id: randomUUID(), ...(signal && { signal }) }
  await publish(bus, channelSubjects(channel).sent(hashKey(id)), sent.parse(said), options)
}
