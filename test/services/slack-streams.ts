/** The text streams of the stand-in of Slack: https://docs.slack.dev/reference/methods/chat.startStream, and the others'. */
import { type Channel, type Given, type Message, Refused, type Workspace } from './slack-shapes.ts'

const maxMarkdown = 12_000

export class SlackStreams {
  readonly #workspace: Workspace
  readonly #unfurled: Message[]
  readonly #appends = new Map<string, number>()
  #noStreams = ''
  #stopPressed = false

  /** `unfurled` gets the messages of which a page was shown. */
  constructor(workspace: Workspace, unfurled: Message[]) {
    this.#workspace = workspace
    this.#unfurled = unfurled
  }

  appends(channel: string): number {
    return this.#appends.get(channel) ?? 0
  }

  /** Streams are refused with this error; with an empty one they are not. */
  refuse(error: string): void {
    this.#noStreams = error
  }

  /** Slack ends each stream after minutes, or because somebody has pressed *Stop*. */
  end(channels: Iterable<Channel>, pressed: boolean): void {
    this.#stopPressed = pressed
    for (const { messages } of channels) {
      for (const message of messages) if (message.streaming_state) message.streaming_state = 'completed'
    }
  }

  start(given: Given): object {
    const { me } = this.#workspace
    const channel = this.#workspace.channelOf(given)
    this.#workspace.spend('chat.startStream', channel)
    const { thread_ts: thread, recipient_user_id: user, recipient_team_id: team } = given
    if (this.#noStreams) throw new Refused(this.#noStreams)
    if (thread === undefined) throw new Refused('invalid_arguments')
    const root = channel.messages.find(({ ts }) => ts === thread)
    if (!root || (root.thread_ts ?? thread) !== thread) throw new Refused('thread_not_found')
    if (channel.kind !== 'im' && team === undefined) throw new Refused('missing_recipient_team_id')
    if (channel.kind !== 'im' && user === undefined) throw new Refused('missing_recipient_user_id')
    const isKnown = channel.messages.some((message) => message.user === user && user !== me.user)
    if (user !== undefined && (!isKnown || team !== me.team)) throw new Refused('user_not_found')
    const blocks = [{ type: 'markdown' as const, text: markdownOf(given) }]
    const message: Message = {
      ts: this.#workspace.nextTs(),
      user: me.user,
      bot_id: me.bot,
      text: '',
      thread_ts: thread,
      blocks,
    }
    message.streaming_state = 'in_progress'
    channel.messages.push(message)
    this.#watch(message)
    return { channel: channel.id, ts: message.ts }
  }

  #streamOf(given: Given): { channel: Channel; message: Message } {
    const channel = this.#workspace.channelOf(given)
    const message = channel.messages.find(({ ts }) => ts === given.ts)
    if (!message) throw new Refused('message_not_found')
    if (message.streaming_state !== 'in_progress') {
      throw new Refused(this.#stopPressed ? 'stopped_by_user' : 'message_not_in_streaming_state')
    }
    return { channel, message }
  }

  append(given: Given): object {
    const { channel, message } = this.#streamOf(given)
    this.#workspace.spend('chat.appendStream', channel)
    const text = markdownOf(given)
    for (const block of message.blocks ?? []) block.text += text
    this.#appends.set(channel.id, (this.#appends.get(channel.id) ?? 0) + 1)
    this.#watch(message)
    return { channel: channel.id, ts: message.ts }
  }

  stop(given: Given): object {
    const { channel, message } = this.#streamOf(given)
    this.#workspace.spend('chat.stopStream', channel)
    if (given.markdown_text !== undefined) for (const block of message.blocks ?? []) block.text += markdownOf(given)
    message.streaming_state = 'completed'
    return { channel: channel.id, ts: message.ts, message }
  }

  /** Streams have no argument that would keep Slack from showing a page, or from calling whom a text names. */
  #watch(message: Message): void {
    const text = (message.blocks ?? []).map((block) => block.text).join('')
    if (/https?:\/\/|\]\(|<[@!#a-z]|&[a-z#]|(?<![\w@])@\w|\w\.\w/i.test(text) && !this.#unfurled.includes(message)) {
      this.#unfurled.push(message)
    }
  }
}

function markdownOf({ markdown_text: text = '' }: Given): string {
  if (!text) throw new Refused('no_text')
  if (text.length > maxMarkdown) throw new Refused('msg_too_long')
  return text
}
