import * as z from 'zod'
import { fileLimits, fileRef, maxFiles } from '#core/files'

/** Longest text of a message in either direction, UTF-16 code units. Whoever has more cuts it, and says so. */
export const maxText = 65_536
/** What a service may use as an id: of a message, a chat, a thread, a person. */
export const maxId = 128
export const maxAttachments = maxFiles

const id = z.string().min(1).max(maxId)
const text = z.string().max(maxText)

/** What came along with a message, as its service describes it. */
export const attachment = z.strictObject({
  name: z.string().max(256),
  mimeType: z.string().max(128),
  /** Bytes. */
  size: z.int().min(0),
  /** What the channel itself finds it by, and nobody else; absent where the service does not hand it over. */
  ref: z.string().min(1).max(2048).optional(),
})
export type Attachment = z.infer<typeof attachment>

/**
 * A message of a person, as a channel publishes it before the service is told that it was taken. A channel never
 * publishes what its own bot or a webhook said.
 */
export const received = z.strictObject({
  /** What the service itself tells this message by: the same each time that it delivers it, and no other's of this bot. */
  id,
  /** When it was sent, as the service says. */
  at: z.iso.datetime(),
  chat: z.strictObject({ id, kind: z.enum(['direct', 'group']) }),
  /** The thread or topic inside the chat, where the service has them. */
  thread: id.optional(),
  /** How the service names it inside its chat, for an answer that refers to it. */
  message: id.optional(),
  sender: z.strictObject({
    /** Never changes and is nobody else's: with its workspace where the service has them, as Slack's `T123/U456`. */
    id,
    /** For people to read; anybody may call himself anything. */
    name: z.string().max(256),
    kind: z.enum(['person', 'bot', 'anonymous']),
  }),
  text,
  /** Whether the bot is spoken to: a direct chat, its name, or an answer to what it said. */
  mentioned: z.boolean(),
  /** False for what is not the sender's own word of this moment: a forward, a quote, an edit. */
  mayCommand: z.boolean(),
  attachments: z.array(attachment).max(maxAttachments),
})
export type Received = z.infer<typeof received>

const place = {
  /** Tells this item from every other one of its channel; an item of the same id is said once. */
  id: z.string().min(1).max(maxId),
  chat: z.strictObject({ id }),
  thread: id.optional(),
  /** `message` of what is answered. */
  replyTo: id.optional(),
}

/** The run whose text is shown; the uid finds its previews. */
const run = z.strictObject({ uid: z.string().min(1).max(64), name: z.string().min(1).max(253) })

/** What a channel is to say. Text is Markdown as the model wrote it; the channel renders it. */
export const sendItem = z.discriminatedUnion('type', [
  /** A sentence of the platform itself. */
  z.strictObject({ type: z.literal('notice'), ...place, text: text.min(1) }),
  /** A run has begun: signs of typing, then one message that is edited as the text comes. */
  z.strictObject({ type: z.literal('turn'), ...place, run }),
  /** Files that came with what a run answers: the channel fetches them and stores them for the run. Nothing is said but what was left out. */
  z.strictObject({
    type: z.literal('fetch'),
    ...place,
    run,
    files: z
      .array(attachment.required({ ref: true }))
      .min(1)
      .max(maxFiles),
    limits: fileLimits,
    /** Bytes that they may take of the store together; what has no room in that is left out. Absent in what an older controller said. */
    room: z.int().min(0).optional(),
  }),
  /** The end of a run: takes the place of what was shown of it, or is said anew. */
  z.strictObject({
    type: z.literal('reply'),
    ...place,
    run,
    phase: z.enum(['Succeeded', 'Failed', 'Cancelled', 'TimedOut']),
    text: text.min(1),
    /** What the agent hands over with it, as it lies on the bus. */
    files: z.array(fileRef).max(maxFiles).optional(),
  }),
])
export type SendItem = z.infer<typeof sendItem>

/** What the service itself last let the channel know. */
export const health = z.strictObject({
  state: z.enum(['Connected', 'Disconnected', 'Error', 'Pending']),
  /** One word in CamelCase. */
  reason: z.string().regex(/^[A-Z][A-Za-z]{0,63}$/),
  /** One sentence for a person; never a token. */
  message: z.string().max(1024),
  at: z.iso.datetime(),
})
export type Health = z.infer<typeof health>

/** A stranger who wants in, as it lies under a code for ten minutes. */
export const pairing = z.strictObject({
  namespace: z.string().min(1).max(63),
  instance: z.string().min(1).max(63),
  channel: z.string().min(1).max(63),
  sender: z.strictObject({ id, name: z.string().max(256) }),
  /** Where they asked, to be told there that they are let in. */
  chat: id.optional(),
  thread: id.optional(),
})
export type Pairing = z.infer<typeof pairing>
