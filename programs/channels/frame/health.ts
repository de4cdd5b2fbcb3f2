import type { Bus } from '#core/bus'
import { type Health, publishHealth } from '#core/channels'
import { errorMessage } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import { ServiceError } from './service-error.ts'

type Word = Omit<Health, 'at'>

export interface HealthOptions {
  bus: Bus
  channel: ChannelAddress
  /** Never told to anybody. */
  secrets: readonly string[]
  signal: AbortSignal
}

/** How often the same word is repeated at most. */
const repeatMs = 30_000
/** What was not said counts until it is tried again, which the longest back-off allows. */
const lastsMs = 120_000

/**
 * What the service last said, to whom it may concern. Receiving and saying may fail each for itself: the channel is well
 * when both are. A word is told at once when it differs, and otherwise at most twice a minute; what nobody says again is
 * not repeated, so that a silent service shows.
 */
export class HealthBoard {
  readonly #bus: Bus
  readonly #channel: ChannelAddress
  readonly #signal: AbortSignal
  readonly #secrets: readonly string[]
  #receiving: Word = { state: 'Pending', reason: 'Starting', message: 'The channel has not heard of its service yet.' }
  #saying: { word: Word; until: number } | undefined
  #told: { word: Word; at: number } | undefined
  #next: Health | undefined
  #telling = false

  constructor({ bus, channel, signal, secrets }: HealthOptions) {
    this.#bus = bus
    this.#channel = channel
    this.#signal = signal
    this.#secrets = secrets
    this.#tell()
  }

  /** What the service said about receiving. */
  receiving(word: Word): void {
    this.#receiving = word
    this.#tell()
  }

  /** A call of ours was answered well. */
  said(): void {
    if (!this.#saying) return
    this.#saying = undefined
    this.#tell()
  }

  /** A call of ours was refused or not answered. */
  notSaid(error: unknown): void {
    this.#saying = { word: wordOf(error), until: Date.now() + lastsMs }
    this.#tell()
  }

  #tell(): void {
    const now = Date.now()
    const word = this.#saying && this.#saying.until > now ? this.#saying.word : this.#receiving
    const told = this.#told
    const same = told?.word.state === word.state && told.word.reason === word.reason
    if (same && now - told.at < repeatMs) return
    this.#told = { word, at: now }
    this.#next = {
      ...word,
      message: this.#withoutSecrets(word.message).slice(0, 1024),
      at: new Date(now).toISOString(),
    }
    if (!this.#telling) void this.#publish()
  }

  /** An error may quote the address that was called, and some services have the token in it. */
  #withoutSecrets(message: string): string {
    return this.#secrets.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), message)
  }

  /** One at a time, the newest next. */
  async #publish(): Promise<void> {
    this.#telling = true
    while (this.#next && !this.#signal.aborted) {
      const next = this.#next
      this.#next = undefined
      await publishHealth(this.#bus, this.#channel, next, { signal: this.#signal }).catch((error: unknown) => {
        if (!this.#signal.aborted) this.#bus.log.warn({ error: errorMessage(error) }, 'health not told')
      })
    }
    this.#telling = false
  }
}

/** What an error of a service says of its health. */
export function wordOf(error: unknown): Word {
  if (!(error instanceof ServiceError)) {
    return { state: 'Disconnected', reason: 'Outage', message: `The service does not answer: ${errorMessage(error)}` }
  }
  const { refusal, reason, message } = error
  // Who is told to wait is known there and served.
  if (refusal === 'later') return { state: reason === 'RateLimited' ? 'Connected' : 'Disconnected', reason, message }
  return { state: 'Error', reason, message }
}
