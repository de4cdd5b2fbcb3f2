/** What the parts of the stand-in of Slack have in common: messages, channels, and how a call is refused. */
export interface Message {
  ts: string
  user?: string
  bot_id?: string
  text: string
  thread_ts?: string
  edited?: { user: string; ts: string }
  /** Of a message that began as a stream. */
  streaming_state?: 'in_progress' | 'completed'
  /** What a stream has shown, which stays until somebody takes it away. */
  blocks?: { type: 'markdown'; text: string }[]
  /** What the app keeps with it, which others are shown only where they ask. */
  metadata?: { event_type: string; event_payload: object }
  [other: string]: unknown
}

/** What Slack answers with, where it is not well. */
export class Refused extends Error {
  readonly more: object

  constructor(error: string, more: object = {}) {
    super(error)
    this.more = more
  }
}

export class TooMany extends Error {}

/** As `channel_type` has it: direct chats, public and private channels, group messages. */
export type Kind = 'im' | 'channel' | 'group' | 'mpim'

export interface Channel {
  id: string
  kind: Kind
  members: Set<string>
  archived: boolean
  messages: Message[]
}

/** Who the bot is. */
export interface Me {
  team: string
  user: string
  bot: string
  app: string
}

/** What a method is given. */
export type Given = Record<string, string>

/** What methods do their work on. */
export interface Workspace {
  me: Me
  /** The channel of a call; refused where the bot cannot be heard there. */
  channelOf(given: Given, key?: string): Channel
  /** Takes one call of what may be called in a while; refused where there is none left. */
  spend(method: string, channel: Channel): void
  nextTs(): string
}

/** What a reader of the message sees, without the marks. */
export function shownText({ text, blocks }: Message): string {
  if (blocks) return blocks.map((block) => block.text.replaceAll('\u2060', '')).join('')
  return text
    .replace(/<([^<>|]*)\|([^<>]*)>/g, '$2')
    .replace(/<([^<>|]*)>/g, '$1')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}
