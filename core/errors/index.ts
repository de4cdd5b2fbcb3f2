/**
 * Every failure that another program, a person or a retry loop must tell apart is a `ClawError` with a code from
 * `codes`. It promises: codes are stable, each says whether trying again can help, and the cause is kept. It refuses
 * to be a bag of classes: decide by `code` and `retryable`, never by message text.
 */
export { ClawError, errorMessage, isClawError, toClawError } from './claw-error.ts'
export { type ErrorCode, errorCodes } from './codes.ts'
