/** Small questions about plain JSON that every part of the server asks. */

export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object at `key`, or an empty one: for reading optional parts without a chain of checks. */
export function objectAt(parent: unknown, ...path: string[]): Json {
  let at: unknown = parent
  for (const key of path) at = isObject(at) ? at[key] : undefined
  return isObject(at) ? at : {}
}

export function listAt(parent: unknown, ...path: string[]): unknown[] {
  const last = path.at(-1) ?? ''
  const value = objectAt(parent, ...path.slice(0, -1))[last]
  return Array.isArray(value) ? value : []
}

export function stringAt(parent: unknown, ...path: string[]): string {
  const last = path.at(-1) ?? ''
  const value = objectAt(parent, ...path.slice(0, -1))[last]
  return typeof value === 'string' ? value : ''
}

export function clone<T>(value: T): T {
  return structuredClone(value)
}

/** Equality of JSON values; the order of keys does not matter. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]))
  }
  if (!isObject(a) || !isObject(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]))
}
