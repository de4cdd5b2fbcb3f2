import type { RunAddress } from '#core/identity'
import type { LiveMessage } from '#core/journal'
import type { BusPort } from './bus-port.ts'

/** Longest piece in one message, in UTF-16 units. */
const maxPiece = 32_768
/** What waits for a bus that is slower than the provider; beyond it the oldest is dropped, being only a preview. */
const maxWaiting = 1_048_576
const publishMs = 5_000

export interface LiveTextOptions {
  bus: BusPort
  run: RunAddress
  attempt: number
  step: number
  /** Makes the message ids of this very request unique. */
  id: string
}

/**
 * Publishes the text of one reply as it streams. One message is under way at a time; what the provider says meanwhile
 * goes into the next, so small pieces travel at once on a fast bus and together on a slow one. Offsets count all text,
 * also what was dropped.
 */
export class LiveText {
  readonly #options: LiveTextOptions
  #waiting = ''
  #offset = 0
  #sent = 0
  #ended = false
  #publishing: Promise<void> | undefined

  constructor(options: LiveTextOptions) {
    this.#options = options
  }

  push(text: string): void {
    if (text === '') return
    this.#waiting += text
    const excess = this.#waiting.length - maxWaiting
    if (excess > 0) this.#take(excess)
    this.#publishing ??= this.#publishAll()
  }

  /** No text follows: what waits is published or, where the bus is away, dropped. */
  async end(): Promise<void> {
    this.#ended = true
    await this.#publishing
  }

  async #publishAll(): Promise<void> {
    const { bus, run, attempt, step, id } = this.#options
    while (this.#waiting !== '') {
      const { offset, text } = this.#take(maxPiece)
      const message: LiveMessage = { attempt, step, offset, kind: 'text', source: 'model', text }
      const options = { id: `${id}/${this.#sent++}`, signal: AbortSignal.timeout(publishMs) }
      try {
        await bus.live(run, message, options)
      } catch {
        // A preview: the recorded answer replaces it. Nothing is said, for a bus that is away says so itself.
        if (this.#ended) this.#waiting = ''
      }
    }
    this.#publishing = undefined
  }

  /** Takes at most so many units from the front, and never half a surrogate pair. */
  #take(units: number): { offset: number; text: string } {
    const last = this.#waiting.charCodeAt(units - 1)
    const whole = units < this.#waiting.length && last >= 0xd800 && last <= 0xdbff ? units - 1 : units
    const text = this.#waiting.slice(0, whole)
    const offset = this.#offset
    this.#waiting = this.#waiting.slice(whole)
    this.#offset += text.length
    return { offset, text }
  }
}
