import { isRefusal } from '../frame/index.ts'
import type { DiscordApi } from './rest.ts'
import { type Channel, channel } from './shapes.ts'

const maxKnown = 10_000

/** What the channels of servers are: a message says in which it is, and not whether that is a thread, nor of which. */
export class Places {
  readonly #api: DiscordApi
  readonly #known = new Map<string, Channel>()

  constructor(api: DiscordApi) {
    this.#api = api
  }

  learn(one: Channel): void {
    this.#known.delete(one.id)
    this.#known.set(one.id, one)
    const [oldest] = this.#known.keys()
    if (this.#known.size > maxKnown && oldest !== undefined) this.#known.delete(oldest)
  }

  /** Asks Discord for what it has not shown. Nothing for a channel that the bot may not look at. */
  async find(id: string, signal: AbortSignal): Promise<Channel | undefined> {
    const known = this.#known.get(id)
    if (known) return known
    try {
      const found = channel.safeParse(await this.#api.get(`/channels/${id}`, { signal })).data
      if (found) this.learn(found)
      return found
    } catch (error) {
      if (isRefusal(error, 'never')) return undefined
      throw error
    }
  }
}
