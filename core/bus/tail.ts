import { randomBytes } from 'node:crypto'
import { isClawError } from '#core/errors'
import { jsRequest } from './api.ts'
import type { Bus } from './bus.ts'
import { type BusMessage, toBusMessage } from './message.ts'
import { pause } from './pause.ts'
import { decodePayload } from './payload.ts'
import { pull } from './pull.ts'
import { ensureConsumer } from './streams.ts'

const retryMs = 250
const idleNs = 10_000_000_000
/** There may be thousands of readers in one process, each with a client that is slow. */
const batch = 16

export interface TailOptions {
  stream: string
  /** One filter, wildcards allowed. */
  subject: string
  /** Only messages with a higher stream sequence. */
  after?: number
  /** When the stream was made, if `after` counts in that one: reading ends once another one has its name. */
  created?: string
  signal: AbortSignal
}

/** A reader of its own, that acknowledges nothing and leaves nothing behind. */
export interface Tail extends AsyncIterable<BusMessage> {
  /**
   * Sequence of the last message that was there to read when it began, or 0. The server's own counts of what is pending
   * are no measure: nats-server 2.9 counts twice what is stored while it makes a consumer, and stays above the truth.
   */
  readonly upTo: number
}

/**
 * Reads a subject of a stream in order, each message once, then waits for what comes, until the signal aborts or the
 * reader breaks off. Its consumer lives in the server's memory and acknowledges nothing: whenever a message may have
 * been lost on its way, or the consumer is gone, another is made behind the last message that was read.
 */
export async function tail(bus: Bus, { stream, subject, after, created, signal }: TailOptions): Promise<Tail> {
  let last = after ?? 0
  const begin = () => beginAfter(bus, { stream, subject, after: last, signal })
  let source = await begin()
  const messages = async function* () {
    for (;;) {
      // After the consumer was made, so that it is of the stream that is asked about.
      if (created !== undefined && (await streamCreated(bus, stream)) !== created) return
      let delivered = 0
      for await (const raw of pull(bus, { stream, consumer: source.name }, { signal, onLoss: 'end', batch })) {
        const message = toBusMessage(bus, raw)
        if (message.delivery !== ++delivered) break
        last = message.sequence
        yield message
      }
      if (signal.aborted || bus.nats.isClosed()) return
      source = await begin()
    }
  }
  const stored = await patiently(bus, signal, () => lastStored(bus, stream, subject))
  return { upTo: stored && stored.seq > last ? stored.seq : 0, [Symbol.asyncIterator]: messages }
}

function beginAfter(bus: Bus, { stream, subject, after = 0, signal }: TailOptions) {
  return patiently(bus, signal, () =>
    ensureConsumer(bus, stream, {
      name: `reader-${randomBytes(12).toString('hex')}`,
      filter_subject: subject,
      ack_policy: 'none',
      ...(after > 0
        ? { deliver_policy: 'by_start_sequence' as const, opt_start_seq: after + 1 }
        : { deliver_policy: 'all' as const }),
      inactive_threshold: idleNs,
      mem_storage: true,
    }),
  )
}

/** Asks until it is answered: a stream may not be there yet, or again, and its maker comes back after the bus does. */
async function patiently<T>(bus: Bus, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isClawError(error, 'unavailable', 'not_found') || signal.aborted || bus.signal.aborted) throw error
      await pause(retryMs, signal)
    }
  }
}

/** When a stream was made, which tells it from another one of its name. Throws `not_found`, `unavailable`. */
export async function streamCreated(bus: Bus, stream: string): Promise<string> {
  return (await jsRequest<{ created: string }>(bus, `STREAM.INFO.${stream}`)).created
}

/** The newest message of a subject, or undefined. */
export async function lastMessage(
  bus: Bus,
  stream: string,
  subject: string,
): Promise<{ sequence: number; storedAt: Date; value: unknown } | undefined> {
  const message = await lastStored(bus, stream, subject)
  if (!message) return undefined
  const head = Buffer.from(message.hdrs ?? '', 'base64').toString('utf8')
  const gzip = /^content-encoding: *gzip\r?$/im.test(head)
  return {
    sequence: message.seq,
    storedAt: new Date(message.time),
    value: decodePayload({ bytes: Buffer.from(message.data ?? '', 'base64'), gzip }),
  }
}

async function lastStored(bus: Bus, stream: string, subject: string): Promise<StoredMessage | undefined> {
  try {
    const asked = { last_by_subj: subject }
    return (await jsRequest<{ message: StoredMessage }>(bus, `STREAM.MSG.GET.${stream}`, asked)).message
  } catch (error) {
    if (isClawError(error, 'not_found')) return undefined
    throw error
  }
}

interface StoredMessage {
  seq: number
  /** RFC 3339. */
  time: string
  hdrs?: string
  data?: string
}
