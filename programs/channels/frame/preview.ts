import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '#core/bus'
import { listen } from '#core/bus'
import { type ChannelAddress, runSubjects } from '#core/identity'
import { liveMessage } from '#core/journal'
import type { Caller } from './caller.ts'
import { LiveText } from './live-text.ts'
import type { Place, TextFormat } from './port.ts'
import { isRefusal } from './service-error.ts'

export interface PreviewOptions {
  bus: Bus
  channel: ChannelAddress
  run: { uid: string }
  place: Place
  replyTo: string | undefined
  caller: Caller
  format: TextFormat
  /** The message that shows this run already, where there is one. */
  message: string | undefined
  /** Tells a first post from another that is the same. */
  key: string
  /** Remembers the message; nothing more is shown before that is done. */
  onPosted: (message: string) => Promise<void>
}

/**
 * How long the first text waits to be shown. A short answer is whole by then and is said at once; shown in part, it would
 * wait for the chat's next turn.
 */
const firstShownAfterMs = 1_000

/**
 * A run while it goes on, as its chat sees it: signs of typing until there is text, then one message that is edited as the
 * text comes, as often as the service lets. Too long a text shows its end. What is missed is in the reply.
 */
export class Preview {
  readonly #options: PreviewOptions
  readonly #text = new LiveText()
  readonly #stop = new AbortController()
  readonly #working: Promise<unknown>
  #message: string | undefined
  #shown = ''
  #plain = false
  #gaveUp = false
  #changed = Promise.withResolvers<void>()

  constructor(options: PreviewOptions) {
    this.#options = options
    this.#message = options.message
    const { bus, channel, run } = options
    const { liveModel } = runSubjects({ ...channel, uid: run.uid })
    listen(bus, liveModel, this.#stop.signal, (value) => {
      const piece = liveMessage.safeParse(value)
      if (!piece.success || !this.#text.take(piece.data)) return
      this.#changed.resolve()
    })
    this.#working = Promise.all([this.#type(), this.#show()])
  }

  /** Shows nothing more; gives the message that showed the run, which the reply takes the place of. */
  async end(): Promise<string | undefined> {
    this.#stop.abort()
    this.#changed.resolve()
    await this.#working
    return this.#message
  }

  async #type(): Promise<void> {
    const { caller, place, replyTo } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted && this.#message === undefined) {
      await caller.typing(place, replyTo, signal)
      await caller.typingPause(signal)
    }
  }

  async #show(): Promise<void> {
    const { signal } = this.#stop
    while (this.#options.caller.edits && !this.#gaveUp && !signal.aborted) {
      await this.#changed.promise
      this.#changed = Promise.withResolvers()
      if (this.#message === undefined) await sleep(firstShownAfterMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      await this.#showNow().catch((error: unknown) => this.#notShown(error))
    }
  }

  async #showNow(): Promise<void> {
    const { caller, place, replyTo, key, format, onPosted } = this.#options
    // What is shown is what there is when the turn comes, not when it was asked for.
    const text = () => format.pieces(this.#text.text, { growing: true }).at(-1)
    if (!text()) return
    await caller.once(place, this.#stop.signal, async (service, signal) => {
      const piece = text()
      if (!piece || piece.text === this.#shown) return
      const options = { plain: this.#plain, signal }
      if (this.#message === undefined) {
        const message = await service.post(place, piece, { ...options, replyTo, key })
        this.#message = message
        await onPosted(message)
      } else await service.edit?.(place, this.#message, piece, options)
      this.#shown = piece.text
    })
  }

  #notShown(error: unknown): void {
    if (isRefusal(error, 'markup') && !this.#plain) this.#plain = true
    else if (isRefusal(error, 'later')) this.#changed.resolve()
    // What is there no more is the reply's to replace. Whether a first one was posted may not be known: the reply has the
    // same key, by which a service that keeps keys finds it.
    else if (isRefusal(error, 'message') || this.#message === undefined) this.#gaveUp = true
  }
}
