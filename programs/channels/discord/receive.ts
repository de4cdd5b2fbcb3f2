import { type Attachment, maxAttachments, maxText, type Received } from '#core/channels'
import { refOf } from './files.ts'
import { type Channel, type Interaction, isThread, type Message, snowflake, timeOf, type User } from './shapes.ts'

/** What somebody says, and what somebody answers; everything else is news of the server. */
const saidTypes = new Set([0, 19])
const forwardType = 1

/** A message as the platform knows it, or nothing for what nobody said: our own words, those of webhooks, and news. */
export function toReceived(message: Message, me: string, where: Channel | undefined): Received | undefined {
  const { author, guild_id: guild, mentions, referenced_message: answered } = message
  if (author.id === me || message.webhook_id || !saidTypes.has(message.type)) return undefined
  const attachments = message.attachments.slice(0, maxAttachments).map((file) => toAttachment(message, file))
  const text = withNames(message.content, mentions, me).slice(0, maxText)
  if (text === '' && attachments.length === 0) return undefined
  return {
    id: message.id,
    at: new Date(message.timestamp).toISOString(),
    ...placeOf(where ?? { id: message.channel_id, type: 0 }, guild),
    message: message.id,
    sender: toSender(author),
    text,
    mentioned: !guild || mentions.some(({ id }) => id === me) || answered?.author.id === me,
    mayCommand: message.message_reference?.type !== forwardType,
    attachments,
  }
}

/** A slash command is what a person would have written; the bot is spoken to. */
export function commandToReceived(interaction: Interaction): Received | undefined {
  const { data, channel, guild_id: guild } = interaction
  const by = interaction.member?.user ?? interaction.user
  if (!by) return undefined
  const words = data.options.find(({ name }) => name === 'text')?.value
  return {
    id: interaction.id,
    at: new Date(timeOf(interaction.id)).toISOString(),
    ...placeOf(channel, guild),
    sender: toSender(by),
    text: `/${data.name} ${typeof words === 'string' ? words : ''}`.trim().slice(0, maxText),
    mentioned: true,
    mayCommand: true,
    attachments: [],
  }
}

function placeOf(where: Channel, guild: string | null | undefined): Pick<Received, 'chat' | 'thread'> {
  if (!guild) return { chat: { id: where.id, kind: 'direct' } }
  if (!isThread(where) || !where.parent_id) return { chat: { id: where.id, kind: 'group' } }
  return { chat: { id: where.parent_id, kind: 'group' }, thread: where.id }
}

function toSender({ id, username, global_name: name, bot }: User): Received['sender'] {
  return { id, name: (name ?? username).slice(0, 256), kind: bot ? 'bot' : 'person' }
}

/** Others by their names, as their senders saw them; the bot's own left out, unless there is nothing else. */
function withNames(text: string, mentions: readonly User[], me: string): string {
  const names = new Map(mentions.map(({ id, username, global_name: name }) => [id, `@${name ?? username}`]))
  const named = (own: boolean) =>
    text.replace(/<@!?(\d{1,20})>/g, (all, id: string) => (id === me && !own ? '' : (names.get(id) ?? all))).trim()
  return named(false) || named(true)
}

function toAttachment(message: Message, file: Message['attachments'][number]): Attachment {
  const { filename, content_type: type, size } = file
  const mimeType = (type ?? 'application/octet-stream').slice(0, 128)
  return { name: filename.slice(0, 256), mimeType, size, ...refOf(message, file) }
}

export function isSnowflake(id: string): boolean {
  return snowflake.safeParse(id).success
}
