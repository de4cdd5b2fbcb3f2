import type { Memory, Place } from '../frame/index.ts'

/** As many as memory keeps under one name. */
const maxKept = 256
const saveMs = 1_000
/** Memory forgets in seven days what nobody writes anew. */
const refreshMs = 24 * 3_600_000
const all = '/all'
const names = ['heard', 'chats', 'threads'] as const
type Name = (typeof names)[number]

export interface KnownOptions {
  memory: Memory
  /** Something could not be remembered for now. */
  onUnsaved: () => void
}

/**
 * Where the channel is in what Slack delivers: the newest message that is on the bus, the chats that have spoken to it and
 * the threads in which it took part, those that did so last. Remembered on the bus, so that what is written while the
 * channel is away can be looked for where it may be.
 */
export class Known {
  readonly #memory: Memory
  readonly #onUnsaved: () => void
  #newest: string | undefined
  /** While it is held: the newest message of before. */
  #held: { newest: string | undefined } | undefined
  /** By id, who spoke last at the end; true where Slack delivers all that is said there and not mentions alone. */
  readonly #chats = new Map<string, boolean>()
  /** `<chat>/<timestamp>`. */
  readonly #threads = new Set<string>()
  readonly #unsaved = new Set<Name>()
  #timer: NodeJS.Timeout | undefined
  #saving: Promise<unknown> = Promise.resolve()
  #refreshed = 0

  private constructor({ memory, onUnsaved }: KnownOptions) {
    this.#memory = memory
    this.#onUnsaved = onUnsaved
  }

  static async recall(options: KnownOptions): Promise<Known> {
    const known = new Known(options)
    const { memory } = options
    const [newest] = (await memory.recall('heard')) ?? []
    if (newest !== undefined && /^\d{1,12}\.\d{1,9}$/.test(newest)) known.#newest = newest
    for (const word of (await memory.recall('chats')) ?? []) {
      const hearsAll = word.endsWith(all)
      known.#chats.set(hearsAll ? word.slice(0, -all.length) : word, hearsAll)
    }
    for (const word of (await memory.recall('threads')) ?? []) known.#threads.add(word)
    return known
  }

  /** The newest message of which all before is on the bus; undefined where nothing was heard before. */
  get newest(): string | undefined {
    return this.#held ? this.#held.newest : this.#newest
  }

  /** Who spoke last comes first. */
  chats(): string[] {
    return [...this.#chats.keys()].reverse()
  }

  threadsOf(chat: string): string[] {
    return [...this.#threads].filter((one) => one.startsWith(`${chat}/`)).map((one) => one.slice(chat.length + 1))
  }

  hearsAll(chat: string): boolean {
    return this.#chats.get(chat) ?? false
  }

  /** Somebody spoke to the bot there, or the bot did. Resolves once a place that was not known is remembered. */
  async met({ chat, thread }: Place): Promise<void> {
    const isNew = !this.#chats.has(chat)
    this.#meet(chat, this.hearsAll(chat))
    const word = thread === undefined ? undefined : `${chat}/${thread}`
    const isNewThread = word !== undefined && !this.#threads.has(word)
    if (word !== undefined) {
      this.#threads.delete(word)
      this.#threads.add(word)
      forgetOldest(this.#threads)
      this.#save('threads')
    }
    if (isNew || isNewThread) await this.#saveNow()
  }

  /** Slack delivers all that is said there. */
  overhears(chat: string): void {
    if (this.#chats.get(chat) === false) this.#meet(chat, true)
  }

  stored(ts: string): void {
    if (this.#newest === undefined || Number(ts) > Number(this.#newest)) this.#newest = ts
    if (!this.#held) this.#save('heard')
  }

  /** What was before stays remembered until `release`: whoever is killed in between begins there again. */
  hold(): void {
    this.#held ??= { newest: this.#newest }
  }

  /** Where it is held still, whoever connects next asks again for what was missed. */
  abandon(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!this.#held) return
    this.#newest = this.#held.newest
    this.#held = undefined
  }

  /** All that was missed is on the bus. */
  async release(): Promise<void> {
    this.#held = undefined
    this.#newest ??= (Date.now() / 1000).toFixed(6)
    await this.#refresh()
  }

  /** To be called now and then, so that what does not change is not forgotten. */
  async keep(): Promise<void> {
    if (Date.now() - this.#refreshed > refreshMs) await this.#refresh()
  }

  async #refresh(): Promise<void> {
    this.#refreshed = Date.now()
    for (const name of names) this.#unsaved.add(name)
    await this.#saveNow()
  }

  #meet(chat: string, hearsAll: boolean): void {
    this.#chats.delete(chat)
    this.#chats.set(chat, hearsAll)
    forgetOldest(this.#chats)
    this.#save('chats')
  }

  #save(name: Name): void {
    this.#unsaved.add(name)
    this.#timer ??= setTimeout(() => void this.#saveNow().catch(this.#onUnsaved), saveMs).unref()
  }

  /** One write at a time, of what there is by then. */
  async #saveNow(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#saving = this.#saving.catch(() => {}).then(() => this.#write())
    await this.#saving
  }

  async #write(): Promise<void> {
    const unsaved = [...this.#unsaved]
    this.#unsaved.clear()
    for (const name of unsaved) {
      // What is held is there from before.
      if (name !== 'heard' || !this.#held) await this.#memory.remember(name, this.#wordsOf(name))
    }
  }

  #wordsOf(name: Name): string[] {
    switch (name) {
      case 'heard':
        return this.#newest === undefined ? [] : [this.#newest]
      case 'chats':
        return [...this.#chats].map(([chat, hearsAll]) => (hearsAll ? chat + all : chat))
      case 'threads':
        return [...this.#threads]
    }
  }
}

function forgetOldest(kept: Map<string, unknown> | Set<string>): void {
  if (kept.size <= maxKept) return
  for (const oldest of kept.keys().take(1)) kept.delete(oldest)
}
