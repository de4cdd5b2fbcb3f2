import { type Attachment, maxAttachments, maxText, type Received } from '#core/channels'
import type { Said } from './events.ts'
import { readText } from './read-text.ts'

/** Who the bot is, as `auth.test` says. */
export interface Me {
  user: string
  bot: string | undefined
  team: string
  name: string
}

/** Subtypes that are words of somebody; all others are news of a channel, or what became of a message. */
const words: ReadonlySet<string | undefined> = new Set([undefined, 'file_share', 'thread_broadcast', 'me_message'])
const slackbot = 'USLACKBOT'

/** A message as the platform knows it, or nothing for what nobody said now: our own words, a webhook's, an edit. */
export function toReceived(said: Said, team: string, me: Me): Received | undefined {
  const { user, channel, ts } = said
  // Who posts through a webhook is no member of the workspace and has no id of a user.
  if (user === undefined || user === me.user || (said.bot_id !== undefined && said.bot_id === me.bot)) return undefined
  // Slack sends a message again, as a mention, when somebody edits the bot's name into it.
  if (!words.has(said.subtype) || said.hidden || said.edited !== undefined) return undefined
  const written = said.text ?? ''
  const attachments = attachmentsOf(said)
  const shares = said.attachments?.some(({ is_share: isShare }) => isShare) ?? false
  const isDirect = said.channel_type === 'im' || (said.channel_type === undefined && channel.startsWith('D'))
  const name = new RegExp(`<@${me.user}(?:\\|[^<>]*)?>`, 'g')
  const text = readText(written.replace(name, ' ')).trim()
  if (written === '' && attachments.length === 0) return undefined
  // In a channel each message begins a thread of its own; in a direct chat only who opens one is in one.
  const thread = said.thread_ts ?? (isDirect ? undefined : ts)
  return {
    // The same for a mention, which Slack delivers as a message too.
    id: `${channel}/${ts}`,
    at: new Date(Number(ts) * 1000).toISOString(),
    chat: { id: channel, kind: isDirect ? 'direct' : 'group' },
    ...(thread !== undefined && { thread }),
    message: ts,
    sender: {
      id: `${said.user_team ?? said.team ?? team}/${user}`,
      name: user,
      kind: said.bot_id !== undefined || user === slackbot ? 'bot' : 'person',
    },
    text: text.slice(0, maxText),
    mentioned: isDirect || written.search(name) >= 0 || said.parent_user_id === me.user,
    mayCommand: !shares,
    attachments,
  }
}

function attachmentsOf({ files = [] }: Said): Attachment[] {
  return files.slice(0, maxAttachments).map(({ id, name, mimetype, size }) => ({
    name: (name ?? 'file').slice(0, 256),
    mimeType: (mimetype ?? 'application/octet-stream').slice(0, 128),
    size: Number.isSafeInteger(size) ? Math.max(Number(size), 0) : 0,
    ...(id !== undefined && { ref: id }),
  }))
}
