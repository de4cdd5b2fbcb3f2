import { isObject } from '../json.ts'
import { duplicate, type FieldError } from './field-error.ts'
import { innerSchema } from './prune.ts'
import type { Schema } from './schema.ts'

/** Items of a list of type `map` differ in their keys, those of a `set` differ altogether. */
export function checkListKeys(value: unknown, schema: Schema, path = ''): FieldError[] {
  if (isObject(value)) {
    return Object.entries(value).flatMap(([key, field]) => {
      const inner = innerSchema(schema, key)
      return inner ? checkListKeys(field, inner, path ? `${path}.${key}` : key) : []
    })
  }
  if (!Array.isArray(value) || !schema.items) return []
  const { items } = schema
  const errors = value.flatMap((item, index) => checkListKeys(item, items, `${path}[${index}]`))
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const type = schema['x-kubernetes-list-type']
  if (type !== 'map' && type !== 'set') return errors
  const seen = new Set<string>()
  for (const [index, item] of value.entries()) {
    const identity = type === 'map' && isObject(item) ? Object.fromEntries(keys.map((key) => [key, item[key]])) : item
    const text = JSON.stringify(identity)
    if (seen.has(text)) errors.push(duplicate(`${path}[${index}]`, identity))
    seen.add(text)
  }
  return errors
}
