/**
 * The registry of stable error codes: what each means, the HTTP status an API answers with, and whether the same
 * request can succeed later unchanged. docs/errors.md lists the same codes; a test keeps the two in step.
 */
export const errorCodes = {
  invalid: {
    status: 422,
    retryable: false,
    meaning: 'A field holds a value that the schema or a rule refuses; the message names the field.',
  },
  malformed: {
    status: 400,
    retryable: false,
    meaning: 'The body could not be parsed at all; the message names the line where there is one.',
  },
  unauthenticated: {
    status: 401,
    retryable: false,
    meaning: 'No credential, or one that is not known, or one that has expired.',
  },
  forbidden: { status: 403, retryable: false, meaning: 'The credential is known and may not do this.' },
  not_found: {
    status: 404,
    retryable: false,
    meaning: 'The object does not exist, or the caller may not know that it does.',
  },
  conflict: { status: 409, retryable: true, meaning: 'The object changed since it was read; read it again and retry.' },
  already_exists: { status: 409, retryable: false, meaning: 'An object of that name exists already.' },
  gone: {
    status: 410,
    retryable: false,
    meaning: 'The cursor or resource version is too old; start again from a fresh read.',
  },
  too_large: { status: 413, retryable: false, meaning: 'The body or a value is larger than the documented limit.' },
  unsupported: {
    status: 415,
    retryable: false,
    meaning: 'The content type or the encoding is not one that is served.',
  },
  too_many: { status: 429, retryable: true, meaning: 'A limit on rate or concurrency is reached.' },
  full: { status: 507, retryable: false, meaning: 'What it would be kept in may hold no more.' },
  not_ours: {
    status: 409,
    retryable: false,
    meaning: 'An object of the wanted name belongs to somebody else and is left alone.',
  },
  fenced: {
    status: 409,
    retryable: false,
    meaning: 'Another writer has advanced this record; this writer is out of date and must stop.',
  },
  run_ended: { status: 410, retryable: false, meaning: 'The run has an outcome; nothing more is performed for it.' },
  unavailable: {
    status: 503,
    retryable: true,
    meaning: 'Something this depends on does not answer; it is worth trying again.',
  },
  unjudged: {
    status: 503,
    retryable: true,
    meaning: 'Admission could not be asked, so nothing was written; send the same again.',
  },
  timeout: { status: 504, retryable: true, meaning: 'No answer in the time allowed.' },
  internal: { status: 500, retryable: false, meaning: 'A fault of ours.' },
} as const satisfies Record<string, { status: number; retryable: boolean; meaning: string }>

export type ErrorCode = keyof typeof errorCodes
