import { setTimeout as sleep } from 'node:timers/promises'

/** How many chats are remembered; those whose time has come are forgotten first. */
const maxChats = 10_000

/** When the service may next be called about a chat. */
export class Pace {
  readonly #paceMs: number
  readonly #free = new Map<string, number>()

  constructor(paceMs: number) {
    this.#paceMs = paceMs
  }

  /** Waits for the chat's next turn and takes it. Throws when the signal aborts. */
  async turn(chat: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      const waitMs = (this.#free.get(chat) ?? 0) - performance.now()
      if (waitMs <= 0) break
      await sleep(waitMs, undefined, { signal })
    }
    this.#set(chat, performance.now() + this.#paceMs)
  }

  /** Leaves the chat alone for so long at least. */
  hold(chat: string, ms: number): void {
    this.#set(chat, Math.max(this.#free.get(chat) ?? 0, performance.now() + ms))
  }

  #set(chat: string, at: number): void {
    this.#free.delete(chat)
    this.#free.set(chat, at)
    if (this.#free.size <= maxChats) return
    const now = performance.now()
    for (const [key, time] of this.#free) if (time <= now) this.#free.delete(key)
  }
}
