import { NoRespondersError, PermissionViolationError } from '@nats-io/transport-node'
import { ClawError, type ErrorCode, errorMessage } from '#core/errors'
import type { Bus } from './bus.ts'
import { stopped } from './pause.ts'

/** Numbers that JetStream gives its errors (server/errors.json), as far as a decision depends on them. */
export const jsErrors = {
  wrongLastSequence: 10071,
  consumerNotFound: 10014,
  streamNotFound: 10059,
  streamNameInUse: 10058,
  consumerExists: 10148,
  noMessageFound: 10037,
  storeFailed: 10077,
} as const

export interface JsError {
  code: number
  err_code: number
  description: string
}

/** One request to the JetStream API. Throws ClawError: `not_found`, `conflict`, `forbidden`, `unavailable`, `internal`. */
export function jsRequest<T extends object>(bus: Bus, subject: string, body: unknown = {}): Promise<T> {
  return apiRequest(bus, `$JS.API.${subject}`, body)
}

/** As `jsRequest`, under the name that JetStream's API has for this identity. */
export async function apiRequest<T extends object>(bus: Bus, subject: string, body: unknown = {}): Promise<T> {
  try {
    const reply = await bus.request(subject, JSON.stringify(body))
    const answer = reply.json<T & { error?: JsError }>()
    if (answer.error) throw fromJsError(answer.error, subject)
    return answer
  } catch (error) {
    throw fromClientError(bus, error, subject)
  }
}

/** Turns what JetStream answered into our words. */
export function fromJsError(error: JsError, subject: string): ClawError {
  const codes: Record<number, ErrorCode> = {
    [jsErrors.wrongLastSequence]: 'fenced',
    [jsErrors.consumerNotFound]: 'not_found',
    [jsErrors.streamNotFound]: 'not_found',
    [jsErrors.noMessageFound]: 'not_found',
    [jsErrors.streamNameInUse]: 'conflict',
    [jsErrors.consumerExists]: 'conflict',
  }
  // One number for whatever a store fails with, and its words for which.
  const full = error.err_code === jsErrors.storeFailed && /^maximum bytes exceeded/.test(error.description)
  const code = full ? 'full' : (codes[error.err_code] ?? (error.code >= 500 ? 'unavailable' : 'internal'))
  return new ClawError(code, `the bus refused ${subject}: ${error.description} (${error.err_code})`)
}

/** Turns what the client threw into our words; whatever may pass with time is `unavailable`. */
export function fromClientError(bus: Bus, error: unknown, subject: string): ClawError {
  if (error instanceof ClawError) return error
  if (bus.signal.aborted || bus.nats.isClosed()) return stopped(error)
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof PermissionViolationError) {
    return new ClawError('forbidden', `the bus does not let this identity use ${subject}`, { cause: error })
  }
  const why = cause instanceof NoRespondersError ? 'nothing serves it' : errorMessage(error)
  return new ClawError('unavailable', `the bus did not answer on ${subject}: ${why}`, { cause: error })
}
