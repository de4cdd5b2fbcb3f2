import { errorMessage, isClawError } from '#core/errors'

/** What a person is told of an error: our own errors are one sentence already, others come with their causes. */
export function sentence(error: unknown): string {
  return isClawError(error) ? error.message : errorMessage(error)
}
