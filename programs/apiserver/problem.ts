import { ClawError, toClawError } from '#core/errors'

export interface Problem {
  status: number
  /** application/problem+json (RFC 9457) with our stable code. */
  body: string
}

/** What whoever asked is told of an error. A fault of ours is told in the log alone. */
export function problemOf(error: unknown): Problem {
  const known = toClawError(error, 'internal', 'request')
  const shown = known.code === 'internal' ? new ClawError('internal', 'a fault of ours; see the log') : known
  const { code, status, message: detail, field } = shown
  return {
    status,
    body: JSON.stringify({ type: 'about:blank', title: code, code, status, detail, ...(field && { field }) }),
  }
}

export const problemType = 'application/problem+json'
