import { type Bus, publish } from '#core/bus'
import { ClawError } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { type LiveMessage, publishUsage, type UsageMessage } from '#core/journal'

/** `id` tells this message from every other one of its kind; publishing goes on until the signal aborts. */
export interface PortOptions {
  id: string
  signal: AbortSignal
}

/** What the gateway tells the bus. Both return once it is stored, and throw ClawError when given up. */
export interface BusPort {
  live(run: RunAddress, message: LiveMessage, options: PortOptions): Promise<void>
  usage(run: RunAddress, message: UsageMessage, options: PortOptions): Promise<void>
}

/** A port on a connection that may not stand yet: model calls are served before there is a bus. */
export function portOn(connection: Promise<Bus>): BusPort {
  let connected: Bus | undefined
  const bus = async (signal: AbortSignal) => {
    connected ??= await unlessAborted(connection, signal)
    return connected
  }
  return {
    // Acknowledged, unlike other previews: that is how a bus that is slower than the provider is noticed.
    live: async (run, message, options) => {
      await publish(await bus(options.signal), runSubjects(run).liveModel, message, options)
    },
    usage: async (run, message, options) => {
      await publishUsage(await bus(options.signal), run, message, options)
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
