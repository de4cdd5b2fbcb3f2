import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, consumerOfChannel, consumerState } from '#core/bus'
import { type SendItem, sendItems, type Taken } from '#core/channels'
import { errorMessage } from '#core/errors'
import type { ChannelAddress } from '#core/identity'

type Item = Taken<SendItem>

/** Longer than the consumer waits before it delivers an item again. */
const patienceMs = 8_000
const retryMs = 500

export interface OrderOptions {
  bus: Bus
  channel: ChannelAddress
  /** Sequences that were taken here and are not acknowledged. */
  held: ReadonlyMap<number, unknown>
  signal: AbortSignal
}

/**
 * What a channel is to say, in the order of the stream. JetStream delivers what somebody took and did not acknowledge only
 * after a time, and what is newer at once: so at the start, and when the bus is back, the newer wait until all that was
 * delivered before has come, or comes no more.
 */
export async function* inOrder({ bus, channel, held, signal }: OrderOptions): AsyncGenerator<Item> {
  const waiting: Item[] = []
  const order = new Redeliveries(bus, channel, signal, () => wake())
  let wake = () => {}
  let ended = false
  const begin = () => order.expect([...held.keys(), ...waiting.map(({ message }) => message.sequence)])
  begin()
  const forget = bus.onReconnect(begin)
  const reading = (async () => {
    for await (const item of sendItems(bus, channel, signal)) {
      order.came(item.message.sequence)
      waiting.push(item)
      wake()
    }
  })().finally(() => {
    ended = true
    wake()
  })
  try {
    while (!signal.aborted) {
      if (waiting.length > 0 && order.allCame) {
        waiting.sort((a, b) => a.message.sequence - b.message.sequence)
        const item = waiting.shift()
        if (item) yield item
      } else if (ended) return
      else
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  } finally {
    forget()
    order.close()
    await reading
  }
}

/** Whether everything that was delivered to a reader before this one has been delivered again. */
class Redeliveries {
  allCame = false
  readonly #bus: Bus
  readonly #channel: ChannelAddress
  readonly #signal: AbortSignal
  readonly #onAll: () => void
  #seen = new Set<number>()
  #before: { upTo: number; count: number } | undefined
  #patience: NodeJS.Timeout | undefined

  constructor(bus: Bus, channel: ChannelAddress, signal: AbortSignal, onAll: () => void) {
    this.#bus = bus
    this.#channel = channel
    this.#signal = signal
    this.#onAll = onAll
  }

  /** Waits anew for all but these, though not for ever. */
  expect(known: readonly number[]): void {
    this.allCame = false
    this.#before = undefined
    this.#seen = new Set(known)
    this.close()
    this.#patience = setTimeout(() => this.#all(), patienceMs)
    void this.#count(this.#seen)
  }

  came(sequence: number): void {
    if (this.allCame) return
    this.#seen.add(sequence)
    this.#look()
  }

  close(): void {
    clearTimeout(this.#patience)
  }

  async #count(of: Set<number>): Promise<void> {
    while (!this.#signal.aborted && this.#seen === of && !this.allCame) {
      try {
        const { delivered, num_ack_pending } = await consumerState(this.#bus, consumerOfChannel(this.#channel))
        if (this.#seen !== of) return
        this.#before = { upTo: delivered.stream_seq, count: num_ack_pending }
        this.#look()
        return
      } catch (error) {
        this.#bus.log.debug({ error: errorMessage(error) }, 'outbox not counted yet')
        await sleep(retryMs, undefined, { signal: this.#signal }).catch(() => {})
      }
    }
  }

  #look(): void {
    if (!this.#before) return
    const { upTo, count } = this.#before
    if ([...this.#seen].filter((sequence) => sequence <= upTo).length >= count) this.#all()
  }

  #all(): void {
    this.close()
    this.allCame = true
    this.#onAll()
  }
}
