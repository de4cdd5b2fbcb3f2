import { LogLevel, SocketModeClient } from '@slack/socket-mode'
import type { WebClientOptions } from '@slack/web-api'
import * as z from 'zod'
import { ClawError } from '#core/errors'

/** Slack's libraries log what people write; nothing of theirs is kept. */
export const silent = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  setLevel() {},
  setName() {},
  getLevel: () => LogLevel.ERROR,
}

/** How long a connection may take until Slack has said hello. */
const helloMs = 15_000
/** How long what was delivered may still be acknowledged after Slack has asked for another connection. */
const lingerMs = 2_000

const frame = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hello') }),
  z.object({ type: z.literal('disconnect'), reason: z.string().max(64).catch('unknown') }),
  z.object({
    type: z.enum(['events_api', 'interactive', 'slash_commands']),
    envelope_id: z.string(),
    payload: z.unknown().optional(),
  }),
])

export interface SocketOptions {
  appToken: string
  clientOptions: WebClientOptions
  /** Resolves once what an envelope holds may be acknowledged; rejects where it may not. */
  take: (payload: unknown) => Promise<void>
  /** A frame was of no form that is known. */
  onUnknown: () => void
}

/**
 * One connection of Socket Mode, opened once. The library reads frames as if they could have no other form than the
 * usual, and takes a type of an event for an event of its own, so frames are read here and it hears of nothing else than
 * that the connection begins and ends.
 */
export class Socket extends SocketModeClient {
  readonly #take: SocketOptions['take']
  readonly #onUnknown: () => void
  readonly #taking = new Set<Promise<void>>()
  readonly #ended = Promise.withResolvers<string>()

  constructor({ appToken, clientOptions, take, onUnknown }: SocketOptions) {
    super({ appToken, clientOptions, logger: silent, autoReconnectEnabled: false })
    this.#take = take
    this.#onUnknown = onUnknown
    this.on('disconnected', () => this.#ended.resolve('lost'))
  }

  /** Why it is of no use any more: `lost`, or the reason that Slack gave. */
  get ended(): Promise<string> {
    return this.#ended.promise
  }

  /** Resolves when Slack has said hello. */
  async open(): Promise<void> {
    const impatience = setTimeout(() => this.close(), helloMs)
    try {
      await this.start()
    } catch (error) {
      throw error ?? new ClawError('unavailable', 'the connection to Slack was lost before it began')
    } finally {
      clearTimeout(impatience)
    }
  }

  /** Does not wait until the other side agrees. */
  close(): void {
    void this.disconnect().catch(() => {})
  }

  protected override async onWebSocketMessage(data: string | ArrayBuffer, isBinary: boolean): Promise<void> {
    const read = isBinary || typeof data !== 'string' ? undefined : parse(data)
    if (!read) return this.#onUnknown()
    if (read.type === 'hello') return await super.onWebSocketMessage(JSON.stringify(read), false)
    if (read.type === 'disconnect') {
      this.#ended.resolve(read.reason)
      setTimeout(() => this.close(), lingerMs).unref()
      await Promise.allSettled(this.#taking)
      return this.close()
    }
    const { envelope_id: envelope, payload } = read
    // Nothing else than events has any effect, and what is not acknowledged the person is shown an error for.
    const taking = (read.type === 'events_api' ? this.#take(payload) : Promise.resolve()).then(
      () => this.#acknowledge(envelope),
      // It comes again.
      () => {},
    )
    this.#taking.add(taking)
    await taking
    this.#taking.delete(taking)
  }

  /** Where the connection is gone, Slack delivers again, and the bus knows the message. */
  #acknowledge(envelope: string): void {
    if (this.websocket?.isActive()) this.websocket.send(JSON.stringify({ envelope_id: envelope }), () => {})
  }
}

function parse(data: string): z.output<typeof frame> | undefined {
  try {
    return frame.safeParse(JSON.parse(data)).data
  } catch {
    return undefined
  }
}
