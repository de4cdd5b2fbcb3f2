import { fromClientError } from './api.ts'
import type { Bus } from './bus.ts'
import { decodePayload } from './payload.ts'

/**
 * The newest value at a subject that a direct get stands behind, or undefined where there is none: for identities that
 * have no JetStream API. Throws `unavailable`.
 */
export async function directGet(bus: Bus, subject: string): Promise<unknown> {
  const answer = await bus.request(subject, '').catch((error: unknown) => {
    throw fromClientError(bus, error, subject)
  })
  if (answer.headers?.code === 404) return undefined
  return decodePayload({ bytes: answer.data, gzip: answer.headers?.get('Content-Encoding') === 'gzip' })
}
