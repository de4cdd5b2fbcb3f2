import { errorMessage } from '#core/errors'
import type { RunAddress } from '#core/identity'
import type { UsageMessage } from '#core/journal'
import type { Logger } from '#core/telemetry'
import type { BusPort } from './bus-port.ts'
import { outboxDepth, usageLost } from './metrics.ts'

interface Item {
  run: RunAddress
  id: string
  message: UsageMessage
}

/** How many metered requests may wait for a bus that is away. */
const capacity = 10_000

/**
 * Brings what was metered to the bus, in order, however long the bus is away. What cannot be kept, or is refused, or
 * is left when the program stops, is written to the log in full: usage is never lost in silence.
 */
export class UsageOutbox {
  readonly #bus: BusPort
  readonly #log: Logger
  readonly #stop = new AbortController()
  readonly #items: Item[] = []
  readonly #unwatch: () => void
  #sending: Promise<void> | undefined

  constructor(bus: BusPort, log: Logger) {
    this.#bus = bus
    this.#log = log
    this.#unwatch = outboxDepth.watch({}, () => this.#items.length)
  }

  add(run: RunAddress, id: string, message: UsageMessage): void {
    const item = { run, id, message }
    if (this.#items.length >= capacity || this.#stop.signal.aborted) {
      this.#report(item, 'no room to wait')
      return
    }
    this.#items.push(item)
    this.#sending ??= this.#send()
  }

  /** Waits until all is published, at most so long; what is left then is logged. */
  async close(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.#stop.abort(), graceMs)
    await this.#sending
    clearTimeout(timer)
    this.#stop.abort()
    this.#unwatch()
  }

  async #send(): Promise<void> {
    for (let item = this.#items[0]; item; item = this.#items[0]) {
      try {
        await this.#bus.usage(item.run, item.message, { id: item.id, signal: this.#stop.signal })
      } catch (error) {
        this.#report(item, errorMessage(error))
      }
      this.#items.shift()
    }
    this.#sending = undefined
  }

  #report({ run, message }: Item, why: string): void {
    usageLost.add({})
    const { namespace, instance } = run
    this.#log.error({ namespace, instance, usage: message, why }, 'usage not published')
  }
}
