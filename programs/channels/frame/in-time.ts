import { setTimeout as sleep } from 'node:timers/promises'

interface Waiting {
  at: number
  take: () => Promise<void>
  done: (taken: Promise<void>) => void
}

/** How far apart connections or requests may bring what was said one after the other. */
const usualMomentMs = 100
/** In how many parts a moment is waited for. */
const parts = 20

/**
 * Takes what comes by several ways one after the other, each chat by itself. No service says anything of the order between
 * its connections or requests, so what comes for a chat within a moment is taken in the order in which it was said. What
 * comes later than that is taken when it comes.
 */
export class InTime {
  readonly #momentMs: number
  readonly #chats = new Map<string, Waiting[]>()

  constructor(momentMs = usualMomentMs) {
    this.#momentMs = momentMs
  }

  /**
   * Resolves when it is taken, and rejects with what `take` rejects. What waits behind one that was not taken is not taken
   * either: the service delivers it again, and in front of it the other.
   */
  async add(chat: string, at: number, take: () => Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const one = { at, take, done: resolve }
    const waiting = this.#chats.get(chat)
    if (waiting) waiting.push(one)
    else {
      this.#chats.set(chat, [one])
      void this.#takeAll(chat)
    }
    await promise
  }

  async #takeAll(chat: string): Promise<void> {
    for (let now: Waiting[] = []; ; ) {
      // In parts: where the machine is busy a moment may be over before what came in it was read, one connection at a turn.
      for (let part = 0; part < parts; part++) await sleep(this.#momentMs / parts)
      now = this.#chats.get(chat) ?? []
      if (now.length === 0) break
      this.#chats.set(chat, [])
      await takeInOrder(now)
    }
    this.#chats.delete(chat)
  }
}

async function takeInOrder(all: readonly Waiting[]): Promise<void> {
  let refused: Promise<void> | undefined
  for (const { take, done } of all.toSorted((a, b) => a.at - b.at)) {
    const taken = refused ?? take()
    done(taken)
    await taken.catch(() => {
      refused = taken
    })
  }
}
