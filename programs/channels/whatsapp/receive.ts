import { createHash } from 'node:crypto'
import { type Attachment, maxId, maxText, type Received } from '#core/channels'
import type { Contact, Message } from './shapes.ts'

/** Meta comes again for seven days; what is older somebody else brings again. */
const maxAgeMs = 8 * 24 * 60 * 60_000

/** What a message comes with. */
export interface Circumstances {
  contacts: readonly Contact[]
  /** Our own number, digits. */
  number: string
  nowMs: number
}

/** What Meta calls the file that came with a message, and what is asked for its size. */
export function fileIdOf(message: Message): string | undefined {
  const { id = '' } = fileOf(message) ?? {}
  // It becomes part of an address.
  return /^\d{1,32}$/.test(id) ? id : undefined
}

/** A message as the platform knows it, or nothing for what nobody said: reactions, edits, deletions, news. */
export function toReceived(message: Message, { contacts, number, nowMs }: Circumstances): Received | undefined {
  const { from, from_user_id: userId, group_id: group, context } = message
  // The number is not shown of who has a name instead, and passes to others; the id does neither.
  const sender = userId ?? from
  const atMs = Number(message.timestamp) * 1000
  const attachments = attachmentsOf(message)
  const text = textOf(message)
  if (!sender || from === number || (!text && attachments.length === 0)) return undefined
  if (nowMs - atMs > maxAgeMs || atMs - nowMs > maxAgeMs) return undefined
  const { profile } = contacts.find(({ wa_id, user_id }) => user_id === sender || (from && wa_id === from)) ?? {}
  const name = `@${number}`
  const isNamed = text.includes(name)
  return {
    id: message.id.length <= maxId ? message.id : createHash('sha256').update(message.id).digest('hex'),
    at: new Date(atMs).toISOString(),
    chat: group ? { id: group, kind: 'group' } : { id: sender, kind: 'direct' },
    ...(message.id.length <= maxId && { message: message.id }),
    sender: { id: sender, name: (profile?.name || from || sender).slice(0, 256), kind: 'person' },
    text: ((isNamed ? text.replaceAll(name, '').trim() : text) || text).slice(0, maxText),
    mentioned: !group || isNamed || context?.from === number,
    mayCommand: !context?.forwarded && !context?.frequently_forwarded,
    attachments,
  }
}

function textOf({ type, text, button, interactive, location, ...files }: Message): string {
  if (type === 'text') return text?.body ?? ''
  if (type === 'button') return button?.text ?? ''
  if (type === 'interactive') return interactive?.button_reply?.title ?? interactive?.list_reply?.title ?? ''
  if (type === 'location' && location) {
    const { name, address, latitude, longitude } = location
    return `Location: ${[name, address, `${latitude}, ${longitude}`].filter(Boolean).join(', ')}`
  }
  return fileOf({ type, ...files })?.caption ?? ''
}

type Files = Pick<Message, 'type' | 'image' | 'video' | 'audio' | 'document' | 'sticker'>

function fileOf({ type, image, video, audio, document, sticker }: Files) {
  const files: Readonly<Record<string, Files['document']>> = { image, video, audio, document, sticker }
  return Object.hasOwn(files, type) ? files[type] : undefined
}

/** How large a file is WhatsApp says only to who asks. */
function attachmentsOf(message: Message): Attachment[] {
  const file = fileOf(message)
  if (!file) return []
  const mimeType = (file.mime_type ?? 'application/octet-stream').slice(0, 128)
  const ref = fileIdOf(message)
  const name = (file.filename || message.type).slice(0, 256)
  return [{ name, mimeType, size: 0, ...(ref !== undefined && { ref }) }]
}
