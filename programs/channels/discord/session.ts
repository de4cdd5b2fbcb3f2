import type { SessionInfo } from '@discordjs/ws'
import type { Memory } from '../frame/index.ts'
import { later, snowflake, snowflakeAt } from './shapes.ts'

const maxDirect = 256
const saveMs = 1_000

/**
 * Where the channel is in what Discord delivers: the session of the Gateway and the last event of it that was taken, the
 * newest message that is on the bus, and the direct chats, which Discord does not list. Remembered on the bus, so that a
 * channel that was killed resumes what another began.
 */
export class Session {
  readonly #memory: Memory
  readonly #saved: () => void
  #info: SessionInfo | undefined
  #newest: string | undefined
  #direct: string[] = []
  /** While it is held: the newest message of before. */
  #held: { newest: string | undefined } | undefined
  #timer: NodeJS.Timeout | undefined
  #saving: Promise<unknown> = Promise.resolve()

  private constructor(memory: Memory, saved: () => void) {
    this.#memory = memory
    this.#saved = saved
  }

  static async recall(memory: Memory, onUnsaved: () => void): Promise<Session> {
    const session = new Session(memory, onUnsaved)
    const [sessionId, resumeURL, sequence, newest] = (await memory.recall('session')) ?? []
    if (sessionId && resumeURL && sequence)
      session.#info = { sessionId, resumeURL, sequence: Number(sequence), shardId: 0, shardCount: 1 }
    if (newest && snowflake.safeParse(newest).success) session.#newest = newest
    session.#direct = [...((await memory.recall('direct')) ?? [])]
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
    return this.#direct
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

  stored(id: string, directChat: string | undefined): void {
    this.#newest = later(this.#newest ?? id, id)
    if (directChat === undefined || this.#direct.at(-1) === directChat) return
    this.#direct = [...this.#direct.filter((one) => one !== directChat), directChat].slice(-maxDirect)
    this.#saving = this.#saving.then(() => this.#memory.remember('direct', this.#direct)).catch(this.#saved)
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
      if (!this.#held) this.#remember().catch(this.#saved)
    }, saveMs)
  }

  async #remember(): Promise<void> {
    if (!this.#info || this.#newest === undefined) return
    const { sessionId, resumeURL, sequence } = this.#info
    await this.#memory.remember('session', [sessionId, resumeURL, String(sequence), this.#newest])
  }
}
