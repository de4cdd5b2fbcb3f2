import type { Msg } from '@nats-io/transport-node'
import { fromClientError } from './api.ts'
import type { Bus } from './bus.ts'
import { decodePayload } from './payload.ts'

/**
 * The newest value at a subject that a direct get stands behind, or undefined where there is none: for identities that
 * have no JetStream API. Throws `unavailable`.
 */
export async function directGet(bus: Bus, subject: string): Promise<unknown> {
  const answer = await ask(bus, subject)
  return answer && decodePayload({ bytes: answer.data, gzip: answer.headers?.get('Content-Encoding') === 'gzip' })
}

/** As `directGet`, for bytes as they were stored. */
export async function directGetBytes(bus: Bus, subject: string): Promise<Uint8Array | undefined> {
  return (await ask(bus, subject))?.data
}

async function ask(bus: Bus, subject: string): Promise<Msg | undefined> {
  const answer = await bus.request(subject, '').catch((error: unknown) => {
    throw fromClientError(bus, error, subject)
  })
  return answer.headers?.code === 404 ? undefined : answer
}
