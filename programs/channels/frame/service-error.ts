import { ClawError, type ErrorCode } from '#core/errors'

/**
 * What a service said of something that it did not do:
 * - `later`: not now; again after `afterMs`, or when the frame thinks fit.
 * - `markup`: it does not understand the markup; say it plain.
 * - `message`: the message that was to be edited is not there, or can be edited no more; post another.
 * - `never`: it will not be said, however often it is tried: the chat is gone, the bot was blocked or may not write there.
 * - `token`: the bot's token is refused, or lacks a right; nothing works until somebody mends it.
 */
export type Refusal = 'later' | 'markup' | 'message' | 'never' | 'token'

const codes: Record<Refusal, ErrorCode> = {
  later: 'too_many',
  markup: 'malformed',
  message: 'not_found',
  never: 'gone',
  token: 'unauthenticated',
}

export class ServiceError extends ClawError {
  readonly refusal: Refusal
  /** One word in CamelCase, as status shows it: RateLimited, Blocked, WrongToken, MissingScope, ... */
  readonly reason: string
  /** How long the service wants to be left alone, milliseconds. */
  readonly afterMs: number | undefined

  constructor(
    refusal: Refusal,
    reason: string,
    message: string,
    { afterMs, cause }: { afterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(codes[refusal], message, { cause, retryable: refusal === 'later' || refusal === 'token' })
    this.refusal = refusal
    this.reason = reason
    this.afterMs = afterMs
  }
}

export function isRefusal(error: unknown, refusal: Refusal): error is ServiceError {
  return error instanceof ServiceError && error.refusal === refusal
}
