import type { WebClient } from '@slack/web-api'
import { isRefusal, type Memory, type Place, ServiceError } from '../frame/index.ts'
import type { Call } from './call.ts'

/** A message of ours as Slack has it. */
export interface Standing {
  ts: string
  text: string
}

const eventType = 'k8sclaw_message'
const memoryName = 'posting'
/** As much as is remembered at once. */
const maxOpen = 256
/** How far a message is looked for: one that is in doubt is among the newest. */
const maxPages = 5
const pageSize = 200

/** Who speaks as the bot. */
interface Self {
  user: string
  bot: string | undefined
}

/** What is looked for where it is in doubt. */
export interface Doubtful {
  key: string
  /** What it answers: it is newer than that. */
  replyTo: string | undefined
  /** Whose it is. */
  me: () => Promise<Self>
}

/** What goes with a message by which it is found again. https://docs.slack.dev/messaging/message-metadata */
export function keyed(key: string) {
  return { event_type: eventType, event_payload: { key } }
}

/**
 * The messages of which Slack has not said whether it has them. Slack has no key that would keep a message from being
 * posted twice; but it keeps ours with the message, and shows it in the history of chats that the app may read. Which keys
 * are on their way is remembered before they go, so that they are looked for also after a kill.
 */
export class Doubts {
  readonly #web: WebClient
  /** On their way, or in doubt. */
  readonly #open = new Set<string>()
  readonly #doubted = new Set<string>()
  #memory: Memory | undefined
  #recalled: Promise<void> | undefined
  #stored: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(web: WebClient) {
    this.#web = web
  }

  /** Learns what a process before this one had under way. */
  recall(memory: Memory): Promise<void> {
    this.#memory = memory
    this.#recalled ??= memory.recall(memoryName).then((keys = []) => {
      for (const key of keys) {
        this.#open.add(key)
        this.#doubted.add(key)
      }
    })
    return this.#recalled
  }

  /** Posts with a key: once, also where an earlier try was not heard of. Gives also what stood there from before. */
  async once(place: Place, what: Doubtful, call: Call, post: () => Promise<string>): Promise<Standing | string> {
    const { key } = what
    await this.#recalled
    if (this.#doubted.has(key)) {
      const standing = await this.#find(place, what, call)
      if (standing) {
        this.#settle(key)
        return standing
      }
    }
    this.#open.add(key)
    await this.#store()
    try {
      const posted = await post()
      this.#settle(key)
      return posted
    } catch (error) {
      if (error instanceof ServiceError && error.reason !== 'Outage') this.#settle(key)
      else this.#doubted.add(key)
      throw error
    }
  }

  /** What is settled goes from memory with the next that is on its way. */
  #settle(key: string): void {
    this.#open.delete(key)
    this.#doubted.delete(key)
  }

  /** One write at a time; who comes meanwhile waits for the next one, which holds the keys of all. */
  #store(): Promise<void> {
    this.#next ??= this.#stored
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        this.#stored = this.#memory?.remember(memoryName, [...this.#open].slice(-maxOpen)) ?? Promise.resolve()
        return this.#stored
      })
    return this.#next
  }

  /**
   * By its key. A stream takes none until it ends: in a thread it is the newest message of ours that has none and is newer
   * than what it answers, since a thread is one conversation, in which one thing is said after the other.
   */
  async #find(
    { chat, thread }: Place,
    { key, replyTo, me: whose }: Doubtful,
    call: Call,
  ): Promise<Standing | undefined> {
    const me = await whose()
    let cursor: string | undefined
    let stream: Standing | undefined
    for (let page = 0; page < maxPages; page++) {
      const asked = { channel: chat, include_all_metadata: true, limit: pageSize, ...(cursor && { cursor }) }
      const read = () =>
        thread === undefined
          ? this.#web.conversations.history(asked)
          : this.#web.conversations.replies({ ...asked, ts: thread })
      const answer = await call(read).catch((error: unknown) => {
        // An app that may not read there says it again rather than never.
        if (isRefusal(error, 'token') && error.reason === 'MissingScope') return undefined
        throw error
      })
      const found = answer?.messages?.find(({ metadata }) => keyOf(metadata) === key)
      if (found?.ts !== undefined) return { ts: found.ts, text: found.text ?? '' }
      const unkeyed = answer?.messages?.findLast(
        (one) =>
          (one.user === me.user || (one.bot_id !== undefined && one.bot_id === me.bot)) &&
          one.metadata?.event_type !== eventType &&
          !one.files &&
          Number(one.ts) > Number(replyTo ?? Number.POSITIVE_INFINITY),
      )
      if (thread !== undefined && unkeyed?.ts !== undefined) stream = { ts: unkeyed.ts, text: unkeyed.text ?? '' }
      cursor = answer?.response_metadata?.next_cursor
      if (!cursor) break
    }
    return stream
  }
}

function keyOf(metadata: { event_type?: string; event_payload?: object } | undefined): unknown {
  if (metadata?.event_type !== eventType) return undefined
  const { key } = (metadata.event_payload ?? {}) as { key?: unknown }
  return key
}
