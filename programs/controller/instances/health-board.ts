import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, tail } from '#core/bus'
import { health } from '#core/channels'
import { type ChannelAddress, channelOfSubject } from '#core/identity'
import type { Logger } from '#core/telemetry'
import type { Heard } from './channel-status.ts'

export interface HealthBoardOptions {
  bus: Bus
  log: Logger
  signal: AbortSignal
  onWord: (channel: ChannelAddress) => void
}

const retryMs = 1000

/** What each channel last said of its service, as the bus has it. */
export class HealthBoard {
  readonly #options: HealthBoardOptions
  readonly #heard = new Map<string, { channel: ChannelAddress; word: Heard }>()

  constructor(options: HealthBoardOptions) {
    this.#options = options
  }

  lastWord(channel: ChannelAddress): Heard | undefined {
    return this.#heard.get(keyOfChannel(channel))?.word
  }

  /** Every channel that was ever heard and not forgotten. */
  channels(): ChannelAddress[] {
    return [...this.#heard.values()].map(({ channel }) => channel)
  }

  forget(channel: ChannelAddress): void {
    this.#heard.delete(keyOfChannel(channel))
  }

  /** Follows what channels say until the signal aborts, also through a bus that is away. */
  async follow(): Promise<void> {
    const { bus, log, signal } = this.#options
    while (!signal.aborted) {
      try {
        const words = await tail(bus, { stream: 'CHANNEL_HEALTH', subject: 'k8sclaw.*.*.channel.*.health', signal })
        for await (const message of words) this.#take(message)
      } catch (err) {
        if (signal.aborted) return
        log.warn({ err }, 'health of channels not followed')
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }

  #take(message: { subject: string; at: Date; value(): unknown }): void {
    const channel = channelOfSubject(message.subject)
    const said = channel && readHealth(message)
    if (!said) return
    const { state, reason, message: sentence } = said
    // The time is the bus's: a channel's clock is its own.
    this.#heard.set(keyOfChannel(channel), { channel, word: { state, reason, message: sentence, at: message.at } })
    this.#options.onWord(channel)
  }
}

/** A tenant's channel may say anything; what is no word about health is none. */
function readHealth(message: { value(): unknown }) {
  try {
    return health.parse(message.value())
  } catch {
    return undefined
  }
}

export function keyOfChannel({ namespace, instance, channel }: ChannelAddress): string {
  return `${namespace}/${instance}/${channel}`
}
