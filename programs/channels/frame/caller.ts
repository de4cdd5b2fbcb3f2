import { setTimeout as sleep } from 'node:timers/promises'
import type { HealthBoard } from './health.ts'
import { refusals } from './metrics.ts'
import { Pace } from './pace.ts'
import type { ChatService, HandedFile, Place, PostOptions, Rendered } from './port.ts'
import { isRefusal, ServiceError } from './service-error.ts'

const firstBackOffMs = 500
const maxBackOffMs = 60_000

export interface CallerOptions {
  service: ChatService
  health: HealthBoard
  /** No call begins any more; whoever waits for its turn throws. */
  closing: AbortSignal
  /** Calls under way are given up. */
  ended: AbortSignal
  /** From 0 to 1. */
  random?: () => number
}

/** Calls the service at its pace, and again where that can help. */
export class Caller {
  readonly #service: ChatService
  readonly #health: HealthBoard
  readonly #closing: AbortSignal
  readonly #ended: AbortSignal
  readonly #pace: Pace
  readonly #random: () => number

  constructor({ service, health, closing, ended, random = Math.random }: CallerOptions) {
    this.#service = service
    this.#health = health
    this.#closing = closing
    this.#ended = ended
    this.#pace = new Pace(service.paceMs)
    this.#random = random
  }

  get edits(): boolean {
    return this.#service.edit !== undefined
  }

  /** Posts until the service has taken it. Throws a `ServiceError` `never` where it will not, and when closing. */
  async post(place: Place, text: Rendered, options: Pick<PostOptions, 'key' | 'replyTo'>): Promise<string> {
    return await this.#persist(place, (plain) =>
      this.#service.post(place, text, { ...options, plain, signal: this.#ended }),
    )
  }

  /** Posts a file until the service has taken it. Throws as `post`. */
  async sendFile(place: Place, file: HandedFile, options: Pick<PostOptions, 'key' | 'replyTo'>): Promise<string> {
    return await this.#persist(place, async () => {
      const message = await this.#service.sendFile?.(place, file, { ...options, signal: this.#ended })
      if (message === undefined) throw new ServiceError('never', 'NoFiles', 'files are not handed over here')
      return message
    })
  }

  /** Edits until the service has taken it. Throws `message` where there is nothing to edit any more, and as `post`. */
  async edit(place: Place, message: string, text: Rendered): Promise<void> {
    await this.#persist(place, async (plain) => {
      await this.#service.edit?.(place, message, text, { plain, signal: this.#ended })
    })
  }

  /** One call, when the chat's turn comes; for what is worth no second one. Throws what it throws. */
  async once<T>(place: Place, signal: AbortSignal, call: (service: ChatService, signal: AbortSignal) => Promise<T>) {
    await this.#pace.turn(place.chat, AbortSignal.any([signal, this.#closing]))
    try {
      return await call(this.#service, this.#ended)
    } catch (error) {
      if (!this.#ended.aborted) this.#note(place, error, 1)
      throw error
    }
  }

  /** Signs of typing are no words: they take no turn, and nobody hears that one failed. */
  async typing(place: Place, replyTo: string | undefined, signal: AbortSignal): Promise<void> {
    if (!this.#service.typing || this.#closing.aborted) return
    const both = AbortSignal.any([signal, this.#ended])
    await this.#service.typing(place, { replyTo, signal: both }).catch((error: unknown) => {
      if (error instanceof ServiceError && error.refusal === 'later') this.#pace.hold(place.chat, error.afterMs ?? 0)
    })
  }

  async typingPause(signal: AbortSignal): Promise<void> {
    const both = AbortSignal.any([signal, this.#closing])
    await sleep(this.#service.typingMs, undefined, { signal: both }).catch(() => {})
  }

  async #persist<T>(place: Place, attempt: (plain: boolean) => Promise<T>): Promise<T> {
    let plain = false
    for (let tries = 1; ; tries++) {
      await this.#pace.turn(place.chat, this.#closing)
      try {
        const done = await attempt(plain)
        this.#health.said()
        return done
      } catch (error) {
        if (this.#ended.aborted) throw error
        this.#note(place, error, tries)
        if (isRefusal(error, 'never') || isRefusal(error, 'message')) throw error
        if (isRefusal(error, 'markup')) {
          if (plain) throw new ServiceError('never', error.reason, error.message, { cause: error })
          plain = true
        }
      }
    }
  }

  /** Counts it, says it, and leaves the chat alone for as long as the service wants or as is becoming. */
  #note({ chat }: Place, error: unknown, tries: number): void {
    const refusal = error instanceof ServiceError ? error.refusal : 'nothing'
    refusals.add({ refusal })
    if (refusal !== 'nothing' && refusal !== 'later' && refusal !== 'token') return
    this.#health.notSaid(error)
    const asked = error instanceof ServiceError ? error.afterMs : undefined
    const backOff = Math.min(firstBackOffMs * 2 ** (tries - 1), maxBackOffMs)
    // Never sooner than asked; spread, so that not all chats come back at once.
    this.#pace.hold(chat, (asked ?? backOff) + this.#random() * Math.min(asked ?? backOff, 5_000) * 0.5)
  }
}
