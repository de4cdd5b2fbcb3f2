import { isObject } from '../json.ts'
import { innerSchema } from './prune.ts'
import type { Schema } from './schema.ts'

/**
 * The first place where a value of a built-in kind has another JSON type than its field, said as the real server's
 * decoder says it; undefined when all fit. Integers are strings nowhere, and strings never numbers.
 */
export function findTypeError(value: unknown, schema: Schema, kind: string, path = ''): string | undefined {
  if (value === undefined || value === null) return undefined
  if (schema['x-kubernetes-int-or-string']) {
    if (typeof value === 'string' || typeof value === 'number') return undefined
    return mismatch(value, kind, path, 'a number or string')
  }
  if (!fits(value, schema.type)) return mismatch(value, kind, path, schema.type ?? 'any')
  if (Array.isArray(value)) {
    const items = schema.items
    if (!items) return undefined
    for (const [index, item] of value.entries()) {
      const found = findTypeError(item, items, kind, `${path}[${index}]`)
      if (found) return found
    }
  } else if (isObject(value)) {
    for (const [key, field] of Object.entries(value)) {
      const inner = innerSchema(schema, key)
      const found = inner && findTypeError(field, inner, kind, path ? `${path}.${key}` : key)
      if (found) return found
    }
  }
  return undefined
}

const tests: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  integer: (value) => Number.isSafeInteger(value),
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  array: Array.isArray,
  object: isObject,
}

function fits(value: unknown, type: string | undefined): boolean {
  const test = type === undefined ? undefined : tests[type]
  return test === undefined || test(value)
}

function mismatch(value: unknown, kind: string, path: string, wanted: string): string {
  const found = Array.isArray(value) ? 'array' : typeof value
  return `json: cannot unmarshal ${found} into Go struct field ${kind}.${path} of type ${wanted}`
}
