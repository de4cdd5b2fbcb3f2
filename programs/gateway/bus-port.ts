import { type Bus, publish } from '#core/bus'
import { ClawError } from '#core/errors'

/** The one thing the gateway does on the bus: publish, and learn that it is stored. */
export interface BusPort {
  /** Keeps trying while the bus is away, until the signal aborts; then throws ClawError. */
  publish(subject: string, value: unknown, options: { id: string; signal: AbortSignal }): Promise<void>
}

/** A port on a connection that may not stand yet: model calls are served before there is a bus. */
export function portOn(connection: Promise<Bus>): BusPort {
  let bus: Bus | undefined
  return {
    publish: async (subject, value, options) => {
      bus ??= await unlessAborted(connection, options.signal)
      await publish(bus, subject, value, options)
    },
  }
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const stop = () => reject(new ClawError('unavailable', 'there is no bus yet', { cause: signal.reason }))
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
