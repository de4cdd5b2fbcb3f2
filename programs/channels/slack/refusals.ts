import { WebAPIHTTPError, WebAPIPlatformError, WebAPIRateLimitedError, WebAPIRequestError } from '@slack/web-api'
import { ClawError } from '#core/errors'
import { isRefusal, type Refusal, ServiceError } from '../frame/index.ts'

/** What Slack's words mean here. https://docs.slack.dev/reference/methods/chat.postMessage#errors, and the others' */
const known: Readonly<Record<string, readonly [Refusal, string]>> = {
  invalid_auth: ['token', 'WrongToken'],
  not_authed: ['token', 'WrongToken'],
  not_allowed_token_type: ['token', 'WrongToken'],
  token_revoked: ['token', 'Revoked'],
  token_expired: ['token', 'Expired'],
  account_inactive: ['token', 'AccountInactive'],
  missing_scope: ['token', 'MissingScope'],
  no_permission: ['token', 'MissingScope'],
  org_login_required: ['token', 'OrgLoginRequired'],
  team_access_not_granted: ['token', 'AccessNotGranted'],
  access_denied: ['token', 'AccessNotGranted'],
  enterprise_is_restricted: ['token', 'AccessNotGranted'],
  ratelimited: ['later', 'RateLimited'],
  rate_limited: ['later', 'RateLimited'],
  message_limit_exceeded: ['later', 'RateLimited'],
  internal_error: ['later', 'Outage'],
  fatal_error: ['later', 'Outage'],
  service_unavailable: ['later', 'Outage'],
  request_timeout: ['later', 'Outage'],
  team_added_to_org: ['later', 'Outage'],
  message_not_found: ['message', 'MessageGone'],
  cant_update_message: ['message', 'MessageGone'],
  edit_window_closed: ['message', 'MessageGone'],
  is_inactive: ['message', 'MessageGone'],
  block_mismatch: ['message', 'MessageGone'],
  message_not_in_streaming_state: ['message', 'StreamEnded'],
  stopped_by_user: ['message', 'StreamStopped'],
  streaming_state_conflict: ['message', 'StillStreaming'],
  channel_not_found: ['never', 'ChatGone'],
  is_archived: ['never', 'ChatArchived'],
  not_in_channel: ['never', 'NotInChannel'],
  msg_too_long: ['never', 'TooLong'],
  no_text: ['never', 'Empty'],
  restricted_action: ['never', 'NotAllowed'],
  restricted_action_read_only_channel: ['never', 'NotAllowed'],
  restricted_action_thread_only_channel: ['never', 'NotAllowed'],
  messages_tab_disabled: ['never', 'MessagesTabOff'],
  cannot_reply_to_message: ['never', 'ThreadGone'],
  thread_not_found: ['never', 'ThreadGone'],
  file_not_found: ['never', 'FileGone'],
  file_deleted: ['never', 'FileGone'],
  not_visible: ['never', 'FileGone'],
  file_upload_size_restricted: ['never', 'FileTooBig'],
  file_uploads_disabled: ['never', 'FilesOff'],
  storage_limit_reached: ['never', 'StorageFull'],
  posting_to_channel_denied: ['never', 'NotAllowed'],
  invalid_channel: ['never', 'ChatGone'],
}

/**
 * What a call failed with, as the frame tells failures apart. The error of the library is not kept as a cause: it may
 * hold what was sent.
 */
export function toServiceError(error: unknown): unknown {
  if (error instanceof WebAPIRateLimitedError) {
    return new ServiceError('later', 'RateLimited', 'Slack wants a pause.', { afterMs: error.retryAfter * 1000 })
  }
  if (error instanceof WebAPIRequestError) {
    return new ClawError('unavailable', `Slack does not answer${code(error.original)}`)
  }
  if (error instanceof WebAPIHTTPError) {
    return new ServiceError('later', 'Outage', `Slack answers with the status ${error.statusCode}.`)
  }
  if (!(error instanceof WebAPIPlatformError)) return error
  const { data } = error
  // A page of a proxy in the place of an answer is no word of Slack's.
  if (!/^[a-z_]{1,64}$/.test(data.error)) return new ServiceError('later', 'Outage', 'Slack answers with no JSON.')
  const [refusal, reason] = known[data.error] ?? ['never', 'Refused']
  const needed = 'needed' in data && typeof data.needed === 'string' ? `; it needs ${data.needed.slice(0, 200)}` : ''
  const after = data.response_metadata?.retryAfter
  return new ServiceError(refusal, reason, `Slack says: ${data.error}${needed}`, {
    afterMs: after === undefined ? undefined : after * 1000,
  })
}

/** Whether what failed means that all of Slack is lost to this bot until somebody mends it. */
export function isFinal(error: unknown): boolean {
  return isRefusal(error, 'token') || isRefusal(error, 'never')
}

function code({ cause }: Error): string {
  const word = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  return /^E[A-Z]+$/.test(word) ? ` (${word})` : ''
}
