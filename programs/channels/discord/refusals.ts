import { DiscordAPIError, HTTPError, RateLimitError } from '@discordjs/rest'
import { ClawError } from '#core/errors'
import { type Refusal, ServiceError } from '../frame/index.ts'

/**
 * What Discord's codes mean for who has something to say, as https://docs.discord.com/developers/topics/opcodes-and-status-codes
 * lists them. Any other code below 500 means that it will never be taken.
 */
const known: Readonly<Record<number, [Refusal, string]>> = {
  10003: ['never', 'ChatGone'],
  10004: ['never', 'ChatGone'],
  10008: ['message', 'MessageGone'],
  20028: ['later', 'RateLimited'],
  // Edits of what is older than an hour are few.
  30046: ['message', 'MessageTooOld'],
  40002: ['token', 'Unverified'],
  50001: ['never', 'MissingAccess'],
  50005: ['message', 'MessageGone'],
  50007: ['never', 'Blocked'],
  50013: ['never', 'MissingPermission'],
  50083: ['message', 'ThreadArchived'],
  160005: ['never', 'ThreadLocked'],
  200000: ['never', 'AutoModerated'],
  200001: ['never', 'AutoModerated'],
}

/**
 * What a call failed with, as the frame tells failures apart. The error of the library is not kept as a cause, since it
 * holds the text that was to be said.
 */
export function toServiceError(error: unknown): unknown {
  if (error instanceof RateLimitError) {
    const afterMs = Math.max(error.retryAfter, error.sublimitTimeout, error.timeToReset, 0)
    const scope = error.global ? 'of all calls' : `of ${error.scope} scope`
    return new ServiceError('later', 'RateLimited', `Discord limits the rate ${scope}.`, { afterMs })
  }
  // Also what stands before the API may say that a file is too large.
  if ((error instanceof HTTPError || error instanceof DiscordAPIError) && error.status === 413)
    return new ServiceError('never', 'FileTooBig', 'Discord takes no file of that size.')
  if (error instanceof HTTPError) return new ServiceError('later', 'Outage', `Discord answers ${error.status}.`)
  if (error instanceof DiscordAPIError) {
    const { status, code, message } = error
    const said = `Discord says ${status} ${code ?? ''}: ${message.slice(0, 300)}`
    if (status === 401) return new ServiceError('token', 'WrongToken', 'Discord refuses the token of the bot.')
    const [refusal, reason] = known[Number(code)] ?? []
    if (refusal && reason) return new ServiceError(refusal, reason, said)
    // Without a code it is not the API that answers, but what stands before it.
    return Number(code) > 0 || status === 400
      ? new ServiceError('never', 'Refused', said)
      : new ServiceError('later', 'Outage', said)
  }
  if (error instanceof ServiceError) return error
  return new ClawError('unavailable', `Discord does not answer${code(error)}`)
}

/** The same for a call that edits nothing: there is no message that could be replaced by another. */
export function ofPost(error: unknown): unknown {
  if (!(error instanceof ServiceError) || error.refusal !== 'message') return error
  return new ServiceError('never', error.reason, error.message)
}

function code(error: unknown): string {
  const found = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
  return /^[A-Z_]{3,40}$/.test(found) ? ` (${found})` : ''
}
