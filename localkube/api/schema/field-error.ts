import type { StatusCause } from '../api-error.ts'

/** One thing that is wrong with one field, in the words of Kubernetes' field package. */
export interface FieldError {
  reason: string
  field: string
  /** What follows the field name, for example `Invalid value: "x": must be ...`. */
  detail: string
}

export function invalid(field: string, value: unknown, detail: string): FieldError {
  return { reason: 'FieldValueInvalid', field, detail: `Invalid value: ${show(value)}: ${detail}` }
}

/** What a CEL rule found, by the reason that the rule names. An object or list is not shown, the sentence says enough. */
export function ruleBroken(field: string, value: unknown, message: string, reason = 'FieldValueInvalid'): FieldError {
  switch (reason) {
    case 'FieldValueForbidden':
      return forbidden(field, message)
    case 'FieldValueRequired':
      return required(field, message)
    case 'FieldValueDuplicate':
      return duplicate(field, value)
    default:
      return typeof value === 'object'
        ? { reason, field, detail: `Invalid value: ${message}` }
        : invalid(field, value, message)
  }
}

export function required(field: string, detail = ''): FieldError {
  return { reason: 'FieldValueRequired', field, detail: detail ? `Required value: ${detail}` : 'Required value' }
}

export function forbidden(field: string, detail: string): FieldError {
  return { reason: 'FieldValueForbidden', field, detail: `Forbidden: ${detail}` }
}

export function duplicate(field: string, value: unknown): FieldError {
  // Unlike elsewhere an object is shown: it is the key of an item of a keyed list.
  const text = typeof value === 'object' ? JSON.stringify(value) : show(value)
  return { reason: 'FieldValueDuplicate', field, detail: `Duplicate value: ${text}` }
}

export function tooLong(field: string, limit: number): FieldError {
  return { reason: 'FieldValueTooLong', field, detail: `Too long: may not be more than ${limit} bytes` }
}

export function tooMany(field: string, count: number, limit: number): FieldError {
  return { reason: 'FieldValueTooMany', field, detail: `Too many: ${count}: must have at most ${limit} items` }
}

export function unsupported(field: string, value: unknown, supported: unknown[]): FieldError {
  const values = supported.map((item) => JSON.stringify(item)).join(', ')
  return {
    reason: 'FieldValueNotSupported',
    field,
    detail: `Unsupported value: ${show(value)}: supported values: ${values}`,
  }
}

export function notFound(field: string, value: unknown): FieldError {
  return { reason: 'FieldValueNotFound', field, detail: `Not found: ${show(value)}` }
}

export function toCause(error: FieldError): StatusCause {
  return { reason: error.reason, message: error.detail, field: error.field }
}

/** Objects are named by type, as their text would bury the sentence; long strings are cut. */
function show(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return '"array"'
  if (typeof value === 'object') return '"object"'
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 256 ? `${text.slice(0, 256)}…"` : text
}
