import type { Bus } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { type RunMessage, type RunPosition, readMessages } from './follow.ts'
import { readersApart } from './metrics.ts'

/** What is held of a run for those who are a little behind, in bytes as they are stored; the newest message in any case. */
const usualBytes = 64 * 1024

export interface FeedOptions {
  bus: Bus
  run: RunAddress
  /** Where the reading of the bus begins: behind what the first reader has. */
  after: RunPosition
  maxBytes?: number | undefined
}

/**
 * A run read from the bus once for all who follow it here. The last messages are held in memory, and a reader is no more
 * than a place among them. Who is further back reads the bus by itself until it is not: who comes late, and who is
 * slow. The bus is read no faster than the fastest reader reads.
 */
export class Feed {
  readonly #options: FeedOptions
  readonly #maxBytes: number
  readonly #stop = new AbortController()
  /** The last messages in the order in which they came; the first of them is number `#first`. */
  #held: RunMessage[] = []
  #first = 0
  #bytes = 0
  /** The highest sequences that are not held any more. */
  readonly #gone: RunPosition
  /** The number of the next message of the fastest reader. */
  #fastest = 0
  #over: { error?: unknown } | undefined
  /** Readers that wait for what comes. */
  readonly #waiting = new Set<() => void>()
  #taken = Promise.withResolvers<void>()

  constructor(options: FeedOptions) {
    this.#options = options
    this.#maxBytes = options.maxBytes ?? usualBytes
    this.#gone = { ...options.after }
    void this.#read()
  }

  /** The messages behind a position, each once, in the order of the bus, until the outcome or the signal. */
  async *messages(after: RunPosition, signal: AbortSignal): AsyncGenerator<RunMessage> {
    const position = { ...after }
    let wake = () => {}
    const abort = () => wake()
    signal.addEventListener('abort', abort)
    try {
      while (!signal.aborted) {
        if (!this.#covers(position)) {
          yield* this.#apart(position, signal)
          if (!this.#covers(position)) return
        }
        for (let next = this.#first; next >= this.#first && !signal.aborted; ) {
          const message = this.#held[next - this.#first]
          if (message) {
            next++
            this.#take(next)
            if (advance(position, message)) yield message
          } else if (this.#over) {
            if ('error' in this.#over) throw this.#over.error
            return
          } else
            await new Promise<void>((resolve) => {
              wake = resolve
              this.#waiting.add(resolve)
            })
        }
      }
    } finally {
      signal.removeEventListener('abort', abort)
      this.#waiting.delete(wake)
    }
  }

  /** Nobody follows any more. */
  close(): void {
    this.#stop.abort()
    this.#taken.resolve()
  }

  async #read(): Promise<void> {
    const { bus, run } = this.#options
    const after = { ...this.#gone }
    try {
      for await (const message of readMessages(bus, run, { after, signal: this.#stop.signal })) {
        this.#held.push(message)
        this.#bytes += message.bytes
        this.#wake()
        await this.#makeRoom()
        if (this.#stop.signal.aborted) return
      }
      this.#over = {}
    } catch (error) {
      this.#over = { error }
    }
    this.#wake()
  }

  /** Lets go of what is too much, once somebody has read it. */
  async #makeRoom(): Promise<void> {
    while (this.#bytes > this.#maxBytes && this.#held.length > 1 && !this.#stop.signal.aborted) {
      if (this.#fastest <= this.#first) {
        this.#taken = Promise.withResolvers()
        await this.#taken.promise
        continue
      }
      const oldest = this.#held.shift()
      if (!oldest) return
      this.#first++
      this.#bytes -= oldest.bytes
      advance(this.#gone, oldest)
    }
  }

  /** Whether everything behind that position is held here, or still to come. */
  #covers({ record, live }: RunPosition): boolean {
    return record >= this.#gone.record && live >= this.#gone.live
  }

  /** Reads the bus for one reader, until that has come to where the memory begins. */
  async *#apart(position: RunPosition, signal: AbortSignal): AsyncGenerator<RunMessage> {
    const { bus, run } = this.#options
    readersApart.add({})
    for await (const message of readMessages(bus, run, { after: { ...position }, signal })) {
      advance(position, message)
      yield message
      if (this.#covers(position)) return
    }
  }

  #take(next: number): void {
    if (next <= this.#fastest) return
    this.#fastest = next
    this.#taken.resolve()
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}

/** Moves a position over a message; false where it was behind that already. */
function advance(position: RunPosition, { kind, sequence }: RunMessage): boolean {
  const stream = kind === 'live' ? 'live' : 'record'
  if (sequence <= position[stream]) return false
  position[stream] = sequence
  return true
}
