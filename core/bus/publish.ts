import { headers } from '@nats-io/transport-node'
import { ClawError, isClawError } from '#core/errors'
import { fromClientError, fromJsError, type JsError } from './api.ts'
import type { Bus } from './bus.ts'
import { kindOf, publishSeconds } from './metrics.ts'
import { pause, stopped } from './pause.ts'
import { encodePayload, type Payload } from './payload.ts'

export interface PublishOptions {
  /** Message id: a repeated publish with the same id is stored once. */
  id: string
  /** Stream sequence that the last message of this very subject must have, 0 for none; otherwise `fenced`. */
  expectedLast?: number
  headers?: Record<string, string>
  /** Until when to keep trying; without it until the bus is closed. */
  signal?: AbortSignal
}

export interface Published {
  /** Sequence in the stream. */
  sequence: number
  /** The bus had a message of this id already, which this one is taken for. */
  duplicate: boolean
}

/**
 * Publishes a value as JSON and returns once it is stored. A bus that does not answer is asked again with the same id.
 * Throws `fenced` when another writer was first, `forbidden` when the identity may not, `unavailable` when given up.
 */
export async function publish(bus: Bus, subject: string, value: unknown, options: PublishOptions): Promise<Published> {
  return await timed(bus, subject, encodePayload(value), options)
}

/** As `publish`, for bytes as they are. Throws `full` where the stream may hold no more. */
export async function publishBytes(bus: Bus, subject: string, bytes: Uint8Array, options: PublishOptions) {
  return await timed(bus, subject, { bytes, gzip: false }, options)
}

async function timed(bus: Bus, subject: string, payload: Payload, options: PublishOptions): Promise<Published> {
  const ended = publishSeconds.time()
  const kind = kindOf(subject)
  try {
    const published = await store(bus, subject, payload, options)
    ended({ kind, result: published.duplicate ? 'duplicate' : 'stored' })
    return published
  } catch (error) {
    ended({ kind, result: isClawError(error) ? error.code : 'internal' })
    throw error
  }
}

async function store(bus: Bus, subject: string, { bytes, gzip }: Payload, options: PublishOptions): Promise<Published> {
  const signal = options.signal ? AbortSignal.any([options.signal, bus.signal]) : bus.signal
  const head = headers()
  head.set('Nats-Msg-Id', options.id)
  if (options.expectedLast !== undefined) {
    head.set('Nats-Expected-Last-Subject-Sequence', String(options.expectedLast))
  }
  if (gzip) head.set('Content-Encoding', 'gzip')
  for (const [name, text] of Object.entries(options.headers ?? {})) head.set(name, text)
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw stopped(signal.reason)
    try {
      const reply = await bus.request(subject, bytes, head)
      const answer = reply.json<{ seq?: number; duplicate?: boolean; error?: JsError }>()
      if (answer.error) throw fromJsError(answer.error, subject)
      if (answer.seq === undefined) throw new ClawError('internal', `${subject} is not stored by any stream`)
      return { sequence: answer.seq, duplicate: answer.duplicate === true }
    } catch (error) {
      const known = fromClientError(bus, error, subject)
      if (!isClawError(known, 'unavailable') || !known.retryable) throw known
      await pause(Math.min(50 * 2 ** attempt, 2_000), signal)
    }
  }
}

/** Hands a value to the bus and does not wait: for previews, of which a lost one is replaced by the record. */
export function send(bus: Bus, subject: string, value: unknown): void {
  if (!bus.nats.isClosed()) bus.nats.publish(subject, JSON.stringify(value))
}
