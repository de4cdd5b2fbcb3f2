import { errorMessage } from '#core/errors'
import type { Bus } from './bus.ts'
import { decodePayload } from './payload.ts'

/**
 * Hands over what is published at a subject from now on, until the signal aborts: for previews, of which a lost one is
 * replaced by the record. While the bus is away nothing comes, and nothing of it comes later.
 */
export function listen(bus: Bus, subject: string, signal: AbortSignal, onValue: (value: unknown) => void): void {
  if (signal.aborted || bus.nats.isClosed()) return
  const subscription = bus.nats.subscribe(subject, {
    callback: (error, message) => {
      if (error) return
      try {
        onValue(decodePayload({ bytes: message.data, gzip: message.headers?.get('Content-Encoding') === 'gzip' }))
      } catch (cause) {
        bus.log.warn({ subject, error: errorMessage(cause) }, 'message not understood')
      }
    },
  })
  signal.addEventListener('abort', () => {
    if (!bus.nats.isClosed()) subscription.unsubscribe()
  })
}
