import { setTimeout as sleep } from 'node:timers/promises'
import type { BusMessage } from '#core/bus'

/** One transaction takes no more than this, so that a long absence is caught up with in pieces that fit into memory. */
const most = { messages: 256, bytes: 4 * 1024 * 1024 }
/**
 * How long more is waited for where the bus says that more is there. It may be wrong about that (core/bus/tail.ts), and
 * what is in hand must not wait for what never comes.
 */
const quietMs = 50

/**
 * What comes together of a stream: never nothing, in order, and handed over as soon as there is no more at the moment.
 * Whoever leaves early ends the source as well: by then it is asked for the next one already.
 */
export async function* gather(messages: AsyncIterable<BusMessage>): AsyncGenerator<[BusMessage, ...BusMessage[]]> {
  const source = messages[Symbol.asyncIterator]()
  let next = source.next()
  try {
    for (;;) {
      const first = await next
      if (first.done) return
      const together: [BusMessage, ...BusMessage[]] = [first.value]
      let last = first.value
      let { length: bytes } = last.bytes
      next = nextOf(source)
      while (last.pending > 0 && together.length < most.messages && bytes < most.bytes) {
        const more = await within(next, quietMs)
        if (!more || more.done) break
        last = more.value
        together.push(last)
        bytes += last.bytes.length
        next = nextOf(source)
      }
      yield together
    }
  } finally {
    // It returns once it has answered what it was asked last.
    source.return?.().catch(() => {})
  }
}

/** The next one; where it fails, whoever waits for it is told, and nobody else. */
function nextOf<T>(source: AsyncIterator<T>): Promise<IteratorResult<T>> {
  const next = source.next()
  next.catch(() => {})
  return next
}

/** The value, or undefined once that time has passed; where it fails, whoever asks next is told. */
async function within<T>(value: Promise<T>, ms: number): Promise<T | undefined> {
  const over = new AbortController()
  const late = sleep(ms, undefined, { signal: over.signal }).catch(() => undefined)
  try {
    return await Promise.race([value.catch(() => undefined), late])
  } finally {
    over.abort()
  }
}
