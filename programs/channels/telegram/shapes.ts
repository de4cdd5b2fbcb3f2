import * as z from 'zod'

/** Ids are whole numbers of at most 52 bits: https://core.telegram.org/bots/api#chat */
const id = z.int()
const words = z.string().max(65_536)
const name = z.string().max(4096)

const user = z.object({ id, is_bot: z.boolean(), first_name: name, last_name: name.optional() })
const chat = z.object({ id, type: z.string().max(64), title: name.optional() })
const entity = z.object({
  type: z.string().max(64),
  offset: z.int().min(0),
  length: z.int().min(0),
  user: user.optional(),
})
const entities = z.array(entity).max(1_000)
const file = z.object({
  file_id: z.string().min(1).max(2048),
  file_name: name.optional(),
  mime_type: name.optional(),
  file_size: z.int().min(0).optional(),
})
const photo = z.object({ ...file.shape, width: z.int().min(0), height: z.int().min(0) })
/** What is only looked for. */
const there = z.looseObject({})

/**
 * A message as the Bot API describes it, as far as the channel reads it. What a reply quotes or refers to in another chat
 * (`quote`, `external_reply`) is read by nobody: it is not the sender's own word.
 * https://core.telegram.org/bots/api#message
 */
const message = z.object({
  message_id: id,
  /** Seconds. */
  date: z.int().min(0).max(253_402_300_799),
  chat,
  message_thread_id: id.optional(),
  is_topic_message: z.boolean().optional(),
  from: user.optional(),
  sender_chat: chat.optional(),
  text: words.optional(),
  caption: words.optional(),
  entities: entities.optional(),
  caption_entities: entities.optional(),
  reply_to_message: z.object({ from: user.optional(), forum_topic_created: there.optional() }).optional(),
  forward_origin: there.optional(),
  via_bot: there.optional(),
  is_automatic_forward: z.boolean().optional(),
  document: file.optional(),
  photo: z.array(photo).min(1).max(100).optional(),
  audio: file.optional(),
  video: file.optional(),
  voice: file.optional(),
})
export type Message = z.output<typeof message>
export type Entity = z.output<typeof entity>

/** What can be confirmed. */
export const numbered = z.object({ update_id: z.int().min(0) })

/** Something new, which is a message or nothing of interest. */
export const update = numbered.extend({ message: message.optional() })
