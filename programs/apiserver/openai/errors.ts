import { ClawError, toClawError } from '#core/errors'
import type { Outcome } from '#core/journal'

/** A refusal in the shape that clients of OpenAI understand. */
export interface OpenAiError {
  status: number
  error: { message: string; type: string; param: string | null; code: string }
}

/** The words of OpenAI for what its clients decide by; everything else keeps our code (docs/errors.md). */
const words: Record<string, { status: number; code: string }> = {
  'not_found model': { status: 404, code: 'model_not_found' },
  'too_large messages': { status: 400, code: 'context_length_exceeded' },
  unauthenticated: { status: 401, code: 'invalid_api_key' },
  too_many: { status: 429, code: 'rate_limit_exceeded' },
  invalid: { status: 400, code: 'invalid' },
}

/** What a client is told of an error. A fault of ours is told in the log alone. */
export function openAiError(error: unknown): OpenAiError {
  const known = toClawError(error, 'internal', 'request')
  const { code, status, message, field } =
    known.code === 'internal' ? new ClawError('internal', 'a fault of ours; see the log') : known
  const word = words[`${code} ${field}`] ?? words[code] ?? { status, code }
  // A path as OpenAI writes it: messages[0].content.
  const param = field?.replace(/\.(\d+)/g, '[$1]') ?? null
  return { status: word.status, error: { message, type: typeOf(word.status), param, code: word.code } }
}

const ends: Record<string, { status: number; code: string; words: string }> = {
  Cancelled: { status: 409, code: 'run_cancelled', words: 'was cancelled' },
  TimedOut: { status: 504, code: 'run_timed_out', words: 'took too long' },
}

/** A run that ended without success; undefined where it succeeded. */
export function runError(run: string, { phase, reason, error }: Outcome): OpenAiError | undefined {
  if (phase === 'Succeeded') return undefined
  const { status, code, words } = ends[phase] ?? { status: 502, code: 'run_failed', words: 'failed' }
  const message = `the run ${run} ${words} (${reason})${error === undefined ? '' : `: ${error}`}`
  return { status, error: { message, type: typeOf(status), param: null, code } }
}

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}
