import type { UserFromGetMe } from 'grammy/types'
import { type Attachment, maxText, type Received } from '#core/channels'
import type { Entity, Message } from './shapes.ts'

/** A message as the platform knows it, or nothing for what nobody said: our own words, and the news of a chat. */
export function toReceived(message: Message, me: UserFromGetMe): Received | undefined {
  const { chat, from, sender_chat: senderChat } = message
  if (from?.id === me.id) return undefined
  const attachments = attachmentsOf(message)
  const written = message.text ?? message.caption ?? ''
  const entities = message.entities ?? message.caption_entities ?? []
  if (written === '' && attachments.length === 0) return undefined
  return {
    id: `${chat.id}/${message.message_id}`,
    at: new Date(message.date * 1000).toISOString(),
    chat: { id: String(chat.id), kind: chat.type === 'private' ? 'direct' : 'group' },
    ...(message.is_topic_message && message.message_thread_id && { thread: String(message.message_thread_id) }),
    message: String(message.message_id),
    // Who speaks as a chat has shown nobody who he is: an administrator without a name, or a channel.
    sender: senderChat
      ? { id: String(senderChat.id), name: titleOf(senderChat), kind: 'anonymous' }
      : {
          id: String(from?.id ?? chat.id),
          name: [from?.first_name, from?.last_name].filter(Boolean).join(' ').slice(0, 256),
          kind: from === undefined ? 'anonymous' : from.is_bot ? 'bot' : 'person',
        },
    text: withoutName(written, entities, me).slice(0, maxText),
    mentioned: chat.type === 'private' || isNamed(written, entities, me) || isAnswer(message, me),
    // What a reply quotes stands beside its text, which is the sender's own; what another bot composed does not.
    mayCommand: !message.forward_origin && !message.via_bot && !message.is_automatic_forward,
    attachments,
  }
}

/** The parts of the text in which the bot is spoken to: `@name`, `/command@name`, or a link to it without a name. */
function namesOf(text: string, entities: readonly Entity[], me: UserFromGetMe): { from: number; to: number }[] {
  const name = `@${me.username}`.toLowerCase()
  return entities.flatMap((entity) => {
    const { offset, length } = entity
    const part = text.slice(offset, offset + length).toLowerCase()
    if (entity.type === 'mention' && part === name) return [{ from: offset, to: offset + length }]
    if (entity.type === 'bot_command' && part.endsWith(name))
      return [{ from: offset + length - name.length, to: offset + length }]
    if (entity.type === 'text_mention' && entity.user?.id === me.id) return [{ from: offset, to: offset + length }]
    return []
  })
}

function isNamed(text: string, entities: readonly Entity[], me: UserFromGetMe): boolean {
  return namesOf(text, entities, me).length > 0
}

/** Without the name, unless there is nothing else. */
function withoutName(text: string, entities: readonly Entity[], me: UserFromGetMe): string {
  let rest = text
  for (const { from, to } of namesOf(text, entities, me).toReversed()) rest = rest.slice(0, from) + rest.slice(to)
  return rest.trim() || text.trim()
}

/** An answer to what the bot said. In a topic everything is an answer to the topic's beginning, which says nothing. */
function isAnswer({ reply_to_message: answered }: Message, me: UserFromGetMe): boolean {
  return answered?.from?.id === me.id && answered.forum_topic_created === undefined
}

function titleOf(chat: NonNullable<Message['sender_chat']>): string {
  return (chat.title ?? '').slice(0, 256)
}

function attachmentsOf({ document, photo, audio, video, voice }: Message): Attachment[] {
  const largest = photo?.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a))
  const all = [
    document && { ...document, name: document.file_name ?? 'file' },
    largest && { ...largest, name: 'photo.jpg', mime_type: 'image/jpeg' },
    audio && { ...audio, name: audio.file_name ?? 'audio' },
    video && { ...video, name: video.file_name ?? 'video.mp4' },
    voice && { ...voice, name: 'voice.ogg' },
  ]
  return all.flatMap((file) =>
    file
      ? [
          {
            name: file.name.slice(0, 256),
            mimeType: (file.mime_type ?? 'application/octet-stream').slice(0, 128),
            size: file.file_size ?? 0,
            ref: file.file_id,
          },
        ]
      : [],
  )
}
