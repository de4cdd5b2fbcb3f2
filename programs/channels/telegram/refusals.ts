import { GrammyError, HttpError } from 'grammy'
import { ClawError } from '#core/errors'
import { type Refusal, ServiceError } from '../frame/index.ts'

/**
 * What a call failed with, as the frame tells failures apart. Telegram's own error is not kept as a cause, since it holds
 * the text that was to be said, nor is that of the connection, which holds the address and in it the token.
 */
export function toServiceError(error: unknown): unknown {
  if (error instanceof HttpError) return new ClawError('unavailable', `Telegram does not answer${code(error.error)}`)
  if (!(error instanceof GrammyError)) return error
  const { error_code: status, description, parameters } = error
  const refused = (refusal: Refusal, reason: string) =>
    new ServiceError(refusal, reason, `Telegram says: ${description}`, {
      afterMs: parameters.retry_after === undefined ? undefined : parameters.retry_after * 1000,
    })
  if (status === 429) return refused('later', 'RateLimited')
  if (status === 401 || status === 404) return refused('token', 'WrongToken')
  if (status === 409) return refused('later', 'Conflict')
  if (status === 403) return refused('never', 'Blocked')
  if (status >= 500) return refused('later', 'Outage')
  if (/can't parse entities/i.test(description)) return refused('markup', 'MarkupRefused')
  if (/message to edit not found|message can't be edited|MESSAGE_ID_INVALID/i.test(description))
    return refused('message', 'MessageGone')
  if (/file is too big/i.test(description)) return refused('never', 'FileTooBig')
  if (/chat not found|upgraded to a supergroup|user is deactivated/i.test(description))
    return refused('never', 'ChatGone')
  if (/thread not found|TOPIC_(?:CLOSED|DELETED)/i.test(description)) return refused('never', 'TopicGone')
  return refused('never', 'Refused')
}

/** Telegram's way of saying that an edit has been made already. */
export function isUnchanged(error: unknown): boolean {
  return error instanceof GrammyError && /message is not modified/i.test(error.description)
}

/** Telegram's way of saying that it will not show a file as a picture. */
export function isNoPicture(error: unknown): boolean {
  return error instanceof GrammyError && /PHOTO_|IMAGE_PROCESS_FAILED/i.test(error.description)
}

function code(error: unknown): string {
  const known = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
  return /^E[A-Z]+$/.test(known) ? ` (${known})` : ''
}
