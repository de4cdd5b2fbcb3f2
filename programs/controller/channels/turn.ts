import { createHash } from 'node:crypto'
import * as z from 'zod'
import { attachment, maxAttachments, maxId, type Received } from '#core/channels'
import type { ChannelAddress } from '#core/identity'
import { type AgentRun, isTerminal, maxTaskLength, newRun, type Unborn } from '#core/kinds'
import { childName } from '#core/kube'
import { fileLine, filesOf, oneLine } from './chat-files.ts'

/** Where on a run stands whom it answers. Only the origin, which admission keeps, says that a channel asked for it. */
const annotation = 'k8sclaw.io/turn'
/** How long an AgentRun of a chat stays after its end; what was said stays in the session. */
const keptSeconds = 6 * 24 * 3600
/** Room in the annotation, and in what one person can take in. */
export const maxMessages = 50
const maxSessionKey = 256

const id = z.string().min(1).max(maxId)
const turn = z.object({
  channel: z.string().min(1).max(63),
  chat: id,
  thread: id.optional(),
  replyTo: id.optional(),
  /** Sequence in the stream of the last message that the run holds. */
  upTo: z.int().min(0),
  /** Ids of the messages that the run holds, in their order. */
  messages: z.array(id).min(1).max(maxMessages),
  /** What the channel is to bring, in the order in which the run finds it. */
  files: z
    .array(attachment.required({ ref: true }))
    .max(maxAttachments)
    .optional(),
  /** Ids of those that were handed to it while it went on, in their order: its record says how many of them it took. */
  steered: z.array(id).max(maxMessages).optional(),
})
/** What a run answers. */
export type Turn = z.infer<typeof turn>

/** A message that is to be part of a run. */
export interface Said {
  message: Received
  /** What of it is for the agent. */
  text: string
  /** Its place in the stream. */
  sequence: number
}

/** A chat, or a thread of it, of one channel: its messages are taken in order, one run at a time. */
export type Place = ChannelAddress & { chat: string; thread?: string | undefined }

/** The same for the same place alone. */
export function placeKey({ namespace, instance, channel, chat, thread }: Place): string {
  return JSON.stringify([namespace, instance, channel, chat, ...(thread === undefined ? [] : [thread])])
}

export function placeOfKey(key: string): Place {
  const [namespace = '', instance = '', channel = '', chat = '', thread] = JSON.parse(key) as string[]
  return { namespace, instance, channel, chat, thread }
}

/** The session of a place since it last began anew: for people to read, and never that of another place. */
export function sessionKeyOf({ channel, chat, thread }: Place, since: string | undefined): string {
  const parts = [channel, chat, thread ?? '', since ?? ''].map((part) => encodeURIComponent(part.toWellFormed()))
  const key = parts.join('/').replace(/\/+$/, '')
  return key.length <= maxSessionKey ? key : `${channel}/${createHash('sha256').update(key).digest('hex')}`
}

/** How many of these, from the first on, one run can hold: at least one. */
export function fitting(waiting: readonly Said[]): number {
  let length = 0
  let count = 0
  for (const said of waiting.slice(0, maxMessages)) {
    length += textOf(said, said.message.attachments).length + separator.length
    if (count > 0 && length > maxTaskLength) break
    count++
  }
  return count
}

/**
 * The run for some messages. Its name follows from the first one, so that whoever makes it again, after a crash, finds
 * it made.
 */
export function turnRun(
  place: Place,
  said: readonly Said[],
  { since }: { since: string | undefined },
): Unborn<AgentRun> & { metadata: { name: string; namespace: string } } {
  const { namespace, instance, channel, chat, thread } = place
  const [first] = said
  const last = said.at(-1)
  if (!first || !last) throw new RangeError('a turn holds a message')
  const { chat: where, message: replyTo } = last.message
  const files = filesOf(said.map(({ message }) => message))
  const run = newRun(namespace, {
    instance,
    task: storable(said.map((one) => textOf(one, files)).join(separator)).slice(0, maxTaskLength),
    sessionKey: sessionKeyOf(place, since),
    origin: {
      kind: 'channel',
      detail: storable(`${channel}/${first.message.sender.id}`),
      ...(where.kind === 'direct' && { direct: true }),
    },
    ttlSecondsAfterFinished: keptSeconds,
  })
  const { generateName: _, ...metadata } = run.metadata
  const holds: Turn = {
    ...{ channel, chat, upTo: last.sequence, messages: said.map(({ message }) => message.id) },
    ...(thread !== undefined && { thread }),
    ...(replyTo !== undefined && where.kind === 'group' && { replyTo }),
    ...(files.length > 0 && { files }),
  }
  return {
    ...run,
    metadata: {
      ...metadata,
      namespace,
      name: childName([instance, channel], { salt: JSON.stringify([chat, thread, first.message.id]) }),
      annotations: { [annotation]: JSON.stringify(holds) },
    },
  }
}

/** The change of a run that says which messages are handed to it besides; refused where the run has changed meanwhile. */
export function steeredPatch({ metadata }: AgentRun, { place: _, ...turn }: Turn & { place: Place }) {
  const { resourceVersion } = metadata
  return { metadata: { resourceVersion, annotations: { [annotation]: JSON.stringify(turn) } } }
}

/** What a run answers, if a channel asked for it. An annotation that somebody spoilt is none. */
export function turnOf({ metadata, spec }: Unborn<AgentRun>): (Turn & { place: Place }) | undefined {
  const written = metadata.annotations?.[annotation]
  if (written === undefined || spec.origin?.kind !== 'channel') return undefined
  const parsed = turn.safeParse(parsedJson(written))
  if (!parsed.success) return undefined
  const { channel, chat, thread } = parsed.data
  // The tenant is where the run is, whatever the annotation says.
  const place = { namespace: metadata.namespace ?? '', instance: spec.instanceRef.name, channel, chat, thread }
  return { ...parsed.data, place }
}

/** The key of one message of a channel; services give no two messages of a bot the same id. */
export function messageKey({ namespace, instance, channel }: ChannelAddress, messageId: string): string {
  return JSON.stringify([namespace, instance, channel, messageId])
}

/** By what of a chat the cache finds its runs: those under way by their place and namespace, all by their messages. */
export const turnIndexers = {
  place: (run: AgentRun) => {
    const turn = isTerminal(run.status?.phase) ? undefined : turnOf(run)
    return turn ? [placeKey(turn.place)] : []
  },
  chats: (run: AgentRun) => {
    const turn = isTerminal(run.status?.phase) ? undefined : turnOf(run)
    return turn ? [turn.place.namespace] : []
  },
  message: (run: AgentRun) => {
    const turn = turnOf(run)
    const ids = turn ? [...turn.messages, ...(turn.steered ?? [])] : []
    return turn ? ids.map((id) => messageKey(turn.place, id)) : []
  },
}

const separator = '\n\n'

/** What the agent is told of a message: in a group also who said it, and always what came with it. */
export function textOf({ message, text }: Said, brought: readonly Received['attachments'][number][] = []): string {
  const files = message.attachments.map((file) => fileLine(file, brought.indexOf(file)))
  const said = [text, ...files].filter((part) => part !== '').join('\n')
  return message.chat.kind === 'group' ? `${oneLine(message.sender.name)}: ${said}` : said
}

/** Without what no text of ours may hold. */
function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd')
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
