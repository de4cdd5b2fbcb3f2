import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { isRefusal } from '../frame/index.ts'
import type { DiscordApi } from './rest.ts'
import { type Channel, hasText, later, type Message, message, snowflake, snowflakeAt, timeOf } from './shapes.ts'

/** Ids are given in the order of time by more than one machine. What comes twice is known by its id. */
const skewMs = 2_000
/** Nobody waits for an answer for longer, and for a day the bus knows what it was given. */
const longestMs = 12 * 3_600_000
const pageSize = 100
/** Of each chat: 5,000 messages. */
const maxPages = 50
const retryMs = 2_000

export interface MissedOptions {
  api: DiscordApi
  /** The newest message that is on the bus. */
  newest: string
  take: (message: Message) => Promise<void>
  /** There is more in a chat than is read. */
  onTooMany: () => void
  signal: AbortSignal
}

/** What was said while no session was there to deliver it, as far as Discord's history has it. */
export class Missed {
  readonly #options: MissedOptions
  readonly #since: string

  constructor(options: MissedOptions) {
    this.#options = options
    this.#since = later(snowflakeAt(timeOf(options.newest) - skewMs), snowflakeAt(Date.now() - longestMs))
  }

  /** Of the channels and threads that Discord lists for a server, and of those threads of it that it does not list. */
  async ofGuild(guild: string, channels: readonly Channel[], threads: readonly string[]): Promise<void> {
    for (const one of channels) {
      const { last_message_id: last } = one
      if (hasText(one) && last && BigInt(last) > BigInt(this.#since)) await this.ofChannel(one.id, guild)
    }
    const listed = new Set(channels.map(({ id }) => id))
    for (const thread of threads) if (!listed.has(thread)) await this.ofChannel(thread, guild)
  }

  async ofChannel(id: string, guild?: string): Promise<void> {
    let after = this.#since
    for (let page = 0; page < maxPages; page++) {
      const found = await this.#page(id, after)
      for (const raw of found) {
        const parsed = message.safeParse(raw)
        // History does not say of which server it is.
        if (parsed.success) await this.#options.take({ ...parsed.data, ...(guild && { guild_id: guild }) })
        after = later(after, raw.id)
      }
      if (found.length < pageSize) return
    }
    this.#options.onTooMany()
  }

  /** Oldest first. Nothing where the bot may not read. */
  async #page(id: string, after: string): Promise<z.infer<typeof page>> {
    const { api, signal } = this.#options
    const query = new URLSearchParams({ after, limit: String(pageSize) })
    for (;;) {
      try {
        const found = page.safeParse(await api.get(`/channels/${id}/messages`, { query, signal }))
        return (found.data ?? []).toSorted((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1))
      } catch (error) {
        if (signal.aborted || isRefusal(error, 'token')) throw error
        if (isRefusal(error, 'never')) return []
        await sleep((isRefusal(error, 'later') ? error.afterMs : undefined) ?? retryMs, undefined, { signal })
      }
    }
  }
}

const page = z.array(z.looseObject({ id: snowflake }))
