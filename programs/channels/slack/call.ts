import { toServiceError } from './refusals.ts'

/** Calls Slack; what it refuses is a `ServiceError`. */
export type Call = <T>(call: () => Promise<T>) => Promise<T>

/** Calls that nobody waits for any more once the signal aborts: Slack's library takes none. */
export function callUntil(signal: AbortSignal): Call {
  return async (call) => {
    signal.throwIfAborted()
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    try {
      return await Promise.race([call(), aborted])
    } catch (error) {
      throw toServiceError(error)
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}
