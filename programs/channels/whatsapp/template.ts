import type { Memory } from '../frame/index.ts'

const dayMs = 24 * 60 * 60_000

export interface NudgeOptions {
  memory: Memory
  /** Sends the template; gives how WhatsApp names the message. */
  send: (chat: string, signal: AbortSignal) => Promise<string>
}

/**
 * Asks people to write again, where WhatsApp takes nothing else than a template for them any more: each at most once in 24
 * hours, also across restarts. Whoever then writes opens those 24 hours anew, so that there is no reason to ask again.
 */
export class Nudge {
  readonly #options: NudgeOptions
  /** One at a time for a chat. */
  readonly #asking = new Map<string, Promise<string | undefined>>()

  constructor(options: NudgeOptions) {
    this.#options = options
  }

  /** How WhatsApp names what was sent; undefined where the person was asked already. Throws what sending throws. */
  async ask(chat: string, signal: AbortSignal): Promise<string | undefined> {
    const before = this.#asking.get(chat) ?? Promise.resolve(undefined)
    const asked = before.catch(() => {}).then(() => this.#ask(chat, signal))
    this.#asking.set(chat, asked)
    try {
      return await asked
    } finally {
      if (this.#asking.get(chat) === asked) this.#asking.delete(chat)
    }
  }

  async #ask(chat: string, signal: AbortSignal): Promise<string | undefined> {
    const { memory, send } = this.#options
    const name = `template/${chat}`
    const [at = ''] = (await memory.recall(name)) ?? []
    if (Date.now() - Date.parse(at) < dayMs) return undefined
    const message = await send(chat, signal)
    await memory.remember(name, [new Date().toISOString()])
    return message
  }
}
