import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, heldByOthers } from '#core/bus'
import { type Taken as Delivered, type Received, receivedMessages, routerConsumer } from '#core/channels'
import { isClawError } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import { remember } from './limits.ts'

/** A message that is this process's to handle until it is settled. */
export interface Taken {
  channel: ChannelAddress
  message: Received
  /** Its place among all messages of all channels. */
  sequence: number
  /** When it was stored. */
  at: Date
  /** Tells the bus that what the message asked for is done. */
  settle(): void
}

const retryMs = 1_000
/** How often the bus is told that what is held is not forgotten: well within the time that it waits. */
const keepMs = routerConsumer.ackWaitMs / 3
const maxSettled = 20_000

/**
 * What people write in all channels, each message once for as long as this process lives, and in the order in which it
 * was stored, also behind a process that was killed. A message may be held for as long as it takes. Those that are held
 * when the signal aborts are given back.
 */
export class Inbox {
  readonly #bus: Bus
  readonly #signal: AbortSignal
  readonly #patienceMs: number
  readonly #held = new Map<number, Delivered<Received>['message']>()
  /** Sequences that are done; the bus delivers again where it did not hear so. */
  readonly #settled = new Map<string, true>()

  /** `patienceMs`: how long what a former process held is waited for at most, where it does not come. */
  constructor(bus: Bus, signal: AbortSignal, { patienceMs = routerConsumer.ackWaitMs + retryMs } = {}) {
    this.#bus = bus
    this.#signal = signal
    this.#patienceMs = patienceMs
  }

  /** Hands every message to `handle`, which is not waited for, until the signal aborts. */
  async run(handle: (taken: Taken) => void): Promise<void> {
    const former = await this.#former()
    if (!former) return
    // What a process held that was killed comes again, but behind what was stored since: so that waits.
    const come = new Set<number>()
    let early: Taken[] | undefined = []
    const open = () => {
      const waited = early?.toSorted((a, b) => a.sequence - b.sequence) ?? []
      early = undefined
      for (const taken of waited) handle(taken)
    }
    if (former.count === 0) open()
    const patience = setTimeout(open, this.#patienceMs)
    void this.#untilOurs(() => early === undefined).then(open)
    const keeping = setInterval(() => this.#keep(), keepMs)
    try {
      for await (const delivered of receivedMessages(this.#bus, this.#signal)) {
        const taken = this.#take(delivered)
        if (early && taken) early.push(taken)
        else if (taken) handle(taken)
        if (delivered.message.sequence <= former.upTo) come.add(delivered.message.sequence)
        if (early && come.size >= former.count) open()
      }
    } finally {
      clearTimeout(patience)
      clearInterval(keeping)
      for (const message of this.#held.values()) message.retry()
      this.#held.clear()
    }
  }

  /** Undefined for what is held or done already: the newer delivery is then the one to answer. */
  #take({ channel, value, message }: Delivered<Received>): Taken | undefined {
    const { sequence, at } = message
    if (this.#settled.has(String(sequence))) {
      message.ack()
      return undefined
    }
    const known = this.#held.has(sequence)
    this.#held.set(sequence, message)
    if (known) return undefined
    const settle = () => {
      this.#held.get(sequence)?.ack()
      this.#held.delete(sequence)
      remember(this.#settled, String(sequence), true, maxSettled)
    }
    return { channel, message: value, sequence, at, settle }
  }

  /**
   * Until all that the bus waits for is held here: what a former process held when it was asked for may have been settled
   * by it after all, and then never comes.
   */
  async #untilOurs(opened: () => boolean): Promise<void> {
    while (!this.#signal.aborted && !opened()) {
      await sleep(retryMs, undefined, { signal: this.#signal }).catch(() => {})
      const now = await heldByOthers(this.#bus, routerConsumer).catch(() => undefined)
      if (now && now.count <= this.#held.size) return
    }
  }

  #keep(): void {
    for (const message of this.#held.values()) message.working()
  }

  /** What an earlier process left, as soon as the bus tells; undefined where the signal came first. */
  async #former(): Promise<{ count: number; upTo: number } | undefined> {
    while (!this.#signal.aborted) {
      try {
        return await heldByOthers(this.#bus, routerConsumer)
      } catch (error) {
        // Nobody has read yet, or the bus has lost the consumer with all that it knew.
        if (isClawError(error, 'not_found')) return { count: 0, upTo: 0 }
        if (!isClawError(error, 'unavailable')) throw error
      }
      await sleep(retryMs, undefined, { signal: this.#signal }).catch(() => {})
    }
    return undefined
  }
}
