import { type ErrorCode, errorCodes } from './codes.ts'

export interface ClawErrorOptions {
  cause?: unknown
  /** The field the error is about, as a JSON path such as `spec.agents.default.model.name`. */
  field?: string
  /** Overrides the registry's answer where the thrower knows better. */
  retryable?: boolean
}

/** An error with a stable code. `message` is one sentence for a person; it never holds a secret or prompt text. */
export class ClawError extends Error {
  override readonly name = 'ClawError'
  readonly code: ErrorCode
  readonly field: string | undefined
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: ClawErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.field = options.field
    this.retryable = options.retryable ?? errorCodes[code].retryable
  }

  /** The HTTP status that the registry gives this code. */
  get status(): number {
    return errorCodes[this.code].status
  }
}

export function isClawError(error: unknown, ...codes: ErrorCode[]): error is ClawError {
  return error instanceof ClawError && (codes.length === 0 || codes.includes(error.code))
}

/** Wraps what was caught so that the caller can decide by code; a ClawError passes through unchanged. */
export function toClawError(error: unknown, code: ErrorCode, context: string): ClawError {
  if (error instanceof ClawError) return error
  return new ClawError(code, `${context}: ${errorMessage(error)}`, { cause: error })
}

/** The text of anything that may be thrown, with the causes that add to it. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : errorMessage(error.cause)
  const text = error.message || error.name
  return cause && !text.includes(cause) ? `${text}: ${cause}` : text
}
