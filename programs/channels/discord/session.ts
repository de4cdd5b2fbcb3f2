import type { SessionInfo } from '@discordjs/ws'
import type { Received } from '#core/channels'
import type { Memory } from '../frame/index.ts'
import { later, snowflake, snowflakeAt } from './shapes.ts'

/** As many as memory keeps under one name. */
const maxKept = 256
const saveMs = 1_000
/** Memory forgets in seven days what nobody writes anew. */
const refreshMs = 24 * 3_600_000

/** Chats that Discord does not list when a session begins, who spoke last at the end. */
class Kept {
  words: readonly string[] = []
  readonly #name: string
  readonly #memory: Memory
  readonly #unsaved: () => void
  #saving: Promise<void> = Promise.resolve()
  #savedAt = 0

  constructor(name: string, memory: Memory, unsaved: () => void) {
    this.#name = name
    this.#memory = memory
    this.#unsaved = unsaved
  }

  async recall(): Promise<void> {
    this.words = (await this.#memory.recall(this.#name)) ?? []
  }

  /** Resolves once one that was not known is remembered. */
  async add(word: string): Promise<void> {
    if (this.words.at(-1) === word && Date.now() - this.#savedAt < refreshMs) return
    const isNew = !this.words.includes(word)
    this.words = [...this.words.filter((one) => one !== word), word].slice(-maxKept)
    this.#savedAt = Date.now()
    const saving = this.#saving.then(() => this.#memory.remember(this.#name, this.words))
    this.#saving = saving.catch(this.#unsaved)
    if (isNew) await saving
  }
}

/**
 * Where the channel is in what Discord delivers: the session of the Gateway and the last event of it that was taken, the
 * newest message that is on the bus, the direct chats, which Discord does not list, and the threads in which the bot was
 * spoken to, which it does not list once they are archived. Remembered on the bus, so that a channel that was killed resumes
 * what another began.
 */
export class Session {
  readonly #memory: Memory
  readonly #unsaved: () => void
  #info: SessionInfo | undefined
  #newest: string | undefined
  readonly #direct: Kept
  /** `<server>/<thread>`. */
  readonly #threads: Kept
  /** While it is held: the newest message of before. */
  #held: { newest: string | undefined } | undefined
  #timer: NodeJS.Timeout | undefined

  private constructor(memory: Memory, unsaved: () => void) {
    this.#memory = memory
    this.#unsaved = unsaved
    this.#direct = new Kept('direct', memory, unsaved)
    this.#threads = new Kept('threads', memory, unsaved)
  }

  static async recall(memory: Memory, onUnsaved: () => void): Promise<Session> {
    const session = new Session(memory, onUnsaved)
    const [sessionId, resumeURL, sequence, newest] = (await memory.recall('session')) ?? []
    if (sessionId && resumeURL && sequence)
      session.#info = { sessionId, resumeURL, sequence: Number(sequence), shardId: 0, shardCount: 1 }
    if (newest && snowflake.safeParse(newest).success) session.#newest = newest
    await session.#direct.recall()
    await session.#threads.recall()
    return session
  }

  /** As the library resumes it, and tells Discord what was heard: only what was taken. */
  get info(): SessionInfo | null {
    return this.#info ?? null
  }

  get id(): string | undefined {
    return this.#info?.sessionId
  }

  /** The newest message that is on the bus; nothing before there was any session. */
  get newest(): string | undefined {
    return this.#newest
  }

  get direct(): readonly string[] {
    return this.#direct.words
  }

  threadsOf(guild: string): string[] {
    return this.#threads.words.filter((one) => one.startsWith(`${guild}/`)).map((one) => one.slice(guild.length + 1))
  }

  /** What the library has heard: of a session that is known it says nothing that `took` does not. */
  hear(info: SessionInfo | null): void {
    if (info === null || info.sessionId !== this.#info?.sessionId) this.#info = info ?? undefined
  }

  /** Everything of the session up to this is on the bus, or of no interest. */
  took(sessionId: string | undefined, sequence: number): void {
    if (!this.#info || this.#info.sessionId !== sessionId || sequence <= this.#info.sequence) return
    this.#info = { ...this.#info, sequence }
    this.#save()
  }

  /** It is on the bus. Resolves once a chat that Discord does not list is remembered. */
  async stored({ id, chat, thread, mentioned }: Received, guild: string | null | undefined): Promise<void> {
    this.#newest = later(this.#newest ?? id, id)
    if (chat.kind === 'direct') await this.#direct.add(chat.id)
    else if (guild && thread !== undefined && mentioned) await this.#threads.add(`${guild}/${thread}`)
  }

  /** What was before stays remembered until `release`: whoever is killed in between begins there again. */
  hold(): void {
    this.#held ??= { newest: this.#newest }
  }

  /** Where it is held still, the next connection begins another session, and asks again for what was missed. */
  abandon(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!this.#held) return
    this.#newest = this.#held.newest
    this.#held = undefined
    this.#info = undefined
  }

  async release(): Promise<void> {
    this.#newest ??= snowflakeAt(Date.now())
    this.#held = undefined
    await this.#remember()
  }

  #save(): void {
    if (this.#held) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      if (!this.#held) this.#remember().catch(this.#unsaved)
    }, saveMs)
  }

  async #remember(): Promise<void> {
    if (!this.#info || this.#newest === undefined) return
    const { sessionId, resumeURL, sequence } = this.#info
    await this.#memory.remember('session', [sessionId, resumeURL, String(sequence), this.#newest])
  }
}
