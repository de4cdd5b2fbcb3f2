import type { WebClient } from '@slack/web-api'
import { ServiceError } from '../frame/index.ts'
import type { Call } from './call.ts'

/** Somebody in a workspace. */
export interface Person {
  team: string
  user: string
}

/** A message that Slack shows as being written. */
interface Stream {
  /** What it shows of the text as it is now; what an earlier turn of the text left above it does not count. */
  said: string
  /** All that was appended, UTF-16 units. */
  length: number
  /** False once Slack takes no more, or what it has taken is not known. */
  open: boolean
  /** Somebody has pressed *Stop* on it, and wants to see no more of it before the end. */
  stopped: boolean
}

/** All that one stream is to hold; a text is cut long before. */
const maxLength = 12_000
const maxKnown = 10_000
const pauseMs = 60_000
/** Where Slack has refused a stream, it is asked again after this long. */
const refusedMs = 3_600_000

/**
 * Slack's own way to show a text as it is written (chat.startStream, appendStream, stopStream). It only appends, in
 * threads alone, for minutes at most, and not in every workspace or channel: wherever it does not do, this says so and the
 * message is edited instead. https://docs.slack.dev/reference/methods/chat.startStream
 */
export class Streams {
  readonly #web: WebClient
  /** By channel and message, oldest first. One that is forgotten Slack itself still knows. */
  readonly #streams = new Map<string, Stream>()
  /** Until when no stream is begun: by channel, and for all of them. */
  readonly #refused = new Map<string, number>()
  #pausedUntil = 0

  constructor(web: WebClient) {
    this.#web = web
  }

  /** Begins a message; undefined where Slack does not stream there, and nothing was said. Throws where that is not known. */
  async begin(
    { chat, thread, to }: { chat: string; thread: string; to: Person | undefined },
    text: string,
    call: Call,
  ): Promise<string | undefined> {
    const now = performance.now()
    if (now < this.#pausedUntil || now < (this.#refused.get(chat) ?? 0)) return undefined
    // Outside of direct chats Slack wants to know for whom it is.
    if (to === undefined && !chat.startsWith('D')) return undefined
    const recipient = to && { recipient_team_id: to.team, recipient_user_id: to.user }
    const start = { channel: chat, thread_ts: thread, markdown_text: text, ...recipient }
    const { ts } = await call(() => this.#web.chat.startStream(start)).catch((error: unknown) => {
      this.#noStream(chat, error)
      return { ts: undefined }
    })
    if (ts !== undefined) {
      this.#streams.set(nameOf(chat, ts), { said: text, length: text.length, open: true, stopped: false })
      forgetOldest(this.#streams)
    }
    return ts
  }

  /** Shows what has come; false where that is not to be had and the message is to be edited. */
  async grow(chat: string, ts: string, text: string, call: Call): Promise<boolean> {
    const stream = this.#streams.get(nameOf(chat, ts))
    if (stream?.stopped) return true
    if (!stream?.open) return false
    const more = text.startsWith(stream.said) ? text.slice(stream.said.length) : anew(stream.said, text)
    if (more === '') return true
    if (more === undefined || stream.length + more.length > maxLength) return false
    try {
      await call(() => this.#web.chat.appendStream({ channel: chat, ts, markdown_text: more }))
    } catch (error) {
      // It was not taken, and is appended with what comes next.
      if (isReason(error, 'RateLimited')) throw error
      stream.stopped = isReason(error, 'StreamStopped')
      stream.open = false
      if (!isRefused(error)) throw error
      if (isReason(error, 'StreamEnded')) this.#streams.delete(nameOf(chat, ts))
      return stream.stopped
    }
    stream.said = text
    stream.length += more.length
    return true
  }

  /** Whether Slack may still take the message for one that is being written. */
  has(chat: string, ts: string): boolean {
    return this.#streams.has(nameOf(chat, ts))
  }

  /** Ends it, so that it can be edited; that it has ended, or never was, is no error. */
  async end(chat: string, ts: string, call: Call): Promise<void> {
    await call(() => this.#web.chat.stopStream({ channel: chat, ts })).catch((error: unknown) => {
      if (!isReason(error, 'StreamEnded') && !isReason(error, 'StreamStopped')) throw error
    })
    this.#streams.delete(nameOf(chat, ts))
  }

  /** Throws where it is not known whether a stream was begun. */
  #noStream(chat: string, error: unknown): void {
    if (!isRefused(error)) throw error
    if (error.reason === 'RateLimited') {
      this.#pausedUntil = performance.now() + (error.afterMs ?? pauseMs)
      return
    }
    // What is wrong with more than streams is said of the message that is posted instead.
    this.#refused.set(chat, performance.now() + refusedMs)
    forgetOldest(this.#refused)
  }
}

/** Whether Slack has said that it did nothing. */
function isRefused(error: unknown): error is ServiceError {
  return error instanceof ServiceError && error.reason !== 'Outage'
}

function isReason(error: unknown, reason: string): boolean {
  return error instanceof ServiceError && error.reason === reason
}

/**
 * What another step of a run writes goes below what the one before wrote. Undefined where it is the same text after all,
 * read in another way than before: a stream takes nothing back.
 */
function anew(said: string, text: string): string | undefined {
  let shared = 0
  while (shared < said.length && said[shared] === text[shared]) shared++
  return shared <= said.length / 2 ? `\n\n${text}` : undefined
}

function nameOf(chat: string, ts: string): string {
  return `${chat}/${ts}`
}

function forgetOldest(known: Map<string, unknown>): void {
  if (known.size > maxKnown) for (const [oldest] of known.entries().take(1)) known.delete(oldest)
}
