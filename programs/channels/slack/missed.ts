import { setTimeout as sleep } from 'node:timers/promises'
import type { WebClient } from '@slack/web-api'
import { isClawError } from '#core/errors'
import { isRefusal, ServiceError } from '../frame/index.ts'
import { callUntil } from './call.ts'
import { readHistory, type Said } from './events.ts'
import type { Known } from './known.ts'

/** What Slack tries again may be so much older than the newest that it has delivered. What comes twice the bus knows. */
const retriesMs = 10 * 60_000
/** Nobody waits for an answer for longer, and for a day the bus knows what it was given. */
const longestMs = 12 * 3_600_000
const pageSize = 200
/** Of a chat, and of each thread. */
const maxMessages = 1_000
const retryMs = 2_000

export interface MissedOptions {
  web: WebClient
  known: Known
  /** Puts a message on the bus. */
  take: (said: Said) => Promise<void>
  /** Slack does not let the app read there, and says what it needs. Once for each thing that it says. */
  onUnreadable: (error: ServiceError) => void
  /** There is more in a chat than is read. */
  onTooMany: () => void
  signal: AbortSignal
}

/**
 * What was said while nobody heard, as far as Slack's history has it: in the chats and threads that are known, in the order
 * in which it was said there.
 */
export class Missed {
  readonly #options: MissedOptions
  readonly #since: number | undefined
  /** Chats of which it is not known yet what was missed there, with the reading of it where that has begun. */
  readonly #pending: Map<string, Promise<void> | undefined>
  readonly #unreadable = new Set<string>()
  /** One call at a time, so that Slack's pauses are kept for all of them. */
  #calls: Promise<unknown> = Promise.resolve()

  constructor(options: MissedOptions) {
    this.#options = options
    const { newest } = options.known
    this.#since =
      newest === undefined ? undefined : Math.max(Number(newest) * 1000 - retriesMs, Date.now() - longestMs) / 1000
    this.#pending = new Map((newest === undefined ? [] : options.known.chats()).map((chat) => [chat, undefined]))
  }

  /** Resolves once what was missed there is on the bus: what is said there now comes behind it. */
  async ofChat(chat: string): Promise<void> {
    if (!this.#pending.has(chat)) return
    const reading =
      this.#pending.get(chat) ??
      this.#read(chat).then(() => {
        this.#pending.delete(chat)
      })
    this.#pending.set(chat, reading)
    await reading
  }

  /** Resolves once all that was missed is on the bus. Throws where that is not to be had, and when it is aborted. */
  async ofAll(): Promise<void> {
    for (const chat of [...this.#pending.keys()]) await this.ofChat(chat)
  }

  async #read(chat: string): Promise<void> {
    const { known, take } = this.#options
    const threads = new Set(known.threadsOf(chat))
    const said = await this.#history(chat)
    if (!said) return
    for (const one of said) {
      // What somebody answers stands here too where it was sent to the channel as well; it is read in its thread.
      if (one.thread_ts === undefined || one.thread_ts === one.ts) await take(one)
      if (one.thread_ts !== undefined) threads.add(one.thread_ts)
    }
    for (const thread of threads) for (const one of (await this.#history(chat, thread)) ?? []) await take(one)
  }

  /** Oldest first; undefined where the app may not read. */
  async #history(channel: string, thread?: string): Promise<Said[] | undefined> {
    const { web, onTooMany } = this.#options
    const since = this.#since ?? 0
    const asked = { channel, oldest: since.toFixed(6), limit: pageSize }
    const found: Said[] = []
    let cursor: string | undefined
    let count = 0
    do {
      const at = cursor ? { cursor } : {}
      const answer = await this.#call(() =>
        thread === undefined
          ? web.conversations.history({ ...asked, ...at })
          : web.conversations.replies({ ...asked, ...at, ts: thread }),
      )
      if (!answer) return undefined
      const messages = answer.messages ?? []
      for (const raw of messages) {
        const one = readHistory(raw, channel)
        // A thread is given with what began it, however old that is.
        if (one && Number(one.ts) > since && (thread === undefined || one.ts !== thread)) found.push(one)
      }
      count += messages.length
      cursor = answer.response_metadata?.next_cursor
    } while (cursor && count < maxMessages)
    if (cursor) onTooMany()
    return found.sort((a, b) => Number(a.ts) - Number(b.ts))
  }

  /** Until Slack answers; undefined where it lets nobody read there. */
  #call<T>(call: () => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#options
    const mine = this.#calls.then(async () => {
      for (;;) {
        try {
          return await callUntil(signal)(call)
        } catch (error) {
          if (signal.aborted) throw error
          if (isRefusal(error, 'never')) return undefined
          if (isRefusal(error, 'token') && error.reason === 'MissingScope') return this.#cannotRead(error)
          const isPassing = isRefusal(error, 'later') || isClawError(error, 'unavailable')
          if (!isPassing) throw error
          const afterMs = error instanceof ServiceError ? error.afterMs : undefined
          await sleep(afterMs ?? retryMs, undefined, { signal })
        }
      }
    })
    this.#calls = mine.catch(() => {})
    return mine
  }

  #cannotRead(error: ServiceError): undefined {
    if (!this.#unreadable.has(error.message)) this.#options.onUnreadable(error)
    this.#unreadable.add(error.message)
  }
}
