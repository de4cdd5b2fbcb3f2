import type { Msg } from '@nats-io/transport-node'
import type { Bus } from './bus.ts'
import { decodePayload } from './payload.ts'

/** A stored message. */
export interface BusMessage {
  subject: string
  /** Sequence in its stream. */
  sequence: number
  /** Ordinal among the deliveries of its consumer, from 1, without gaps. */
  delivery: number
  /** Whether it was delivered before. */
  redelivered: boolean
  /** When it was stored. */
  at: Date
  /** Messages of this consumer that were still to be delivered when this one was. */
  pending: number
  header(name: string): string | undefined
  /** What was published, as it is stored. */
  bytes: Uint8Array
  /** The value that was published. Throws `malformed`. */
  value(): unknown
  /** Tells the consumer that the effect is done. */
  ack(): void
  /** Tells the consumer that the effect is under way, which gives it as much time again. */
  working(): void
  /** Gives the message back, to be delivered again after the delay. */
  retry(delayMs?: number): void
}

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`; newer servers add two levels in front. */
export function toBusMessage(bus: Bus, message: Msg): BusMessage {
  const levels = (message.reply ?? '').split('.')
  const [deliveries = '1', sequence = '0', delivery = '0', nanoseconds = '0', pending = '0'] = levels.slice(
    levels.length >= 11 ? 6 : 4,
  )
  const respond = (answer: string) => {
    // On a bus that is closed nobody listens; the message comes again to whoever consumes next.
    if (!bus.nats.isClosed()) message.respond(answer)
  }
  return {
    subject: message.subject,
    sequence: Number(sequence),
    delivery: Number(delivery),
    redelivered: deliveries !== '1',
    at: new Date(Number(nanoseconds) / 1e6),
    pending: Number(pending),
    header: (name) => message.headers?.get(name) || undefined,
    bytes: message.data,
    value: () => decodePayload({ bytes: message.data, gzip: message.headers?.get('Content-Encoding') === 'gzip' }),
    ack: () => respond(''),
    working: () => respond('+WPI'),
    retry: (delayMs = 0) => respond(delayMs > 0 ? `-NAK ${JSON.stringify({ delay: delayMs * 1_000_000 })}` : '-NAK'),
  }
}
