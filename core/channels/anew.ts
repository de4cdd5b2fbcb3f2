import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { type Bus, lastMessage, publish } from '#core/bus'
import { type ChannelAddress, channelSubjects, hashKey } from '#core/identity'

const stream = 'KV_conversations'
const writeMs = 5_000

/** A chat, or a thread of it, of one channel. */
export interface ConversationAddress extends ChannelAddress {
  chat: string
  thread?: string | undefined
}

const mark = z.object({ since: z.string() })

/** Lets a conversation begin anew; `since` tells this beginning from every other. Throws `unavailable`. */
export async function beginAnew(bus: Bus, at: ConversationAddress, since: string): Promise<void> {
  await publish(bus, subjectOf(at), { since }, { id: randomUUID(), signal: AbortSignal.timeout(writeMs) })
}

/** What was given when it last began anew; undefined where it never did. Throws `unavailable`. */
export async function beganAnew(bus: Bus, at: ConversationAddress): Promise<string | undefined> {
  const said = mark.safeParse((await lastMessage(bus, stream, subjectOf(at)))?.value)
  return said.success ? said.data.since : undefined
}

/** A service may use any character in its ids. */
function subjectOf({ chat, thread, ...channel }: ConversationAddress): string {
  return channelSubjects(channel).conversation(hashKey(JSON.stringify([chat, thread])))
}
