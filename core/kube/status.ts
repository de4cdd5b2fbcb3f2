import { ClawError, type ErrorCode } from '#core/errors'

interface Status {
  reason?: string
  message?: string
  code?: number
  details?: { causes?: { field?: string; message?: string }[] }
}

const byReason: Record<string, ErrorCode> = {
  NotFound: 'not_found',
  AlreadyExists: 'already_exists',
  Conflict: 'conflict',
  Forbidden: 'forbidden',
  Unauthorized: 'unauthenticated',
  Invalid: 'invalid',
  BadRequest: 'malformed',
  Gone: 'gone',
  Expired: 'gone',
  RequestEntityTooLarge: 'too_large',
  UnsupportedMediaType: 'unsupported',
  TooManyRequests: 'too_many',
  Timeout: 'timeout',
  ServerTimeout: 'timeout',
  ServiceUnavailable: 'unavailable',
  InternalError: 'unavailable',
}

const byCode: Record<number, ErrorCode> = {
  400: 'malformed',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  410: 'gone',
  413: 'too_large',
  415: 'unsupported',
  422: 'invalid',
  429: 'too_many',
  504: 'timeout',
}

/**
 * The error that a `metav1.Status` stands for. An API server's own faults (5xx) are `unavailable`, hence retryable: a
 * webhook that is being rolled answers 500 as readily as 503. The field is the first that the server names.
 */
export function statusError(httpStatus: number, body: string, context: string): ClawError {
  const status = parse(body)
  const code =
    (isUnjudged(status, httpStatus) ? 'unjudged' : undefined) ??
    byReason[status.reason ?? ''] ??
    byCode[status.code ?? httpStatus] ??
    (httpStatus >= 500 || httpStatus === 0 ? 'unavailable' : 'internal')
  const field = status.details?.causes?.find((cause) => cause.field)?.field
  const message = status.message ?? (body.trim().slice(0, 300) || `HTTP ${httpStatus}`)
  return new ClawError(code, message, {
    ...(field ? { field } : {}),
    cause: new Error(`${context} answered ${httpStatus}`),
  })
}

/**
 * An API server that cannot reach a webhook has no reason of its own for it, only this sentence (and refuses, by
 * failurePolicy); a webhook that cannot judge now denies with 503.
 */
function isUnjudged({ message = '', code }: Status, httpStatus: number): boolean {
  const isDenial = /^admission webhook "[^"]*" denied the request: /.test(message)
  return (
    /^Internal error occurred: failed calling webhook "/.test(message) || (isDenial && (code ?? httpStatus) === 503)
  )
}

function parse(body: string): Status {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? (value as Status) : {}
  } catch {
    // Not a Status: a proxy or a load balancer in between answers in words of its own.
    return {}
  }
}
