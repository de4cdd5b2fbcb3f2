import { isObject, type Json } from '../json.ts'
import type { Schema } from './schema.ts'

/**
 * Removes from `value`, in place, what the schema does not know, and calls `unknown` with the path of each; also nulls
 * where the schema allows none, as the real server does before it applies defaults.
 */
export function prune(value: unknown, schema: Schema, unknown: (path: string) => void, path = ''): void {
  if (Array.isArray(value)) {
    const { items } = schema
    if (!items) return
    for (const [index, item] of value.entries()) prune(item, items, unknown, `${path}[${index}]`)
    return
  }
  if (!isObject(value)) return
  const keepsUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true
  for (const key of Object.keys(value)) {
    const inner = innerSchema(schema, key)
    const at = path ? `${path}.${key}` : key
    if (!inner) {
      if (keepsUnknown || isMetaOfEmbedded(schema, key)) continue
      unknown(at)
      delete value[key]
    } else if (value[key] === null && !acceptsNull(inner)) {
      delete value[key]
    } else {
      prune(value[key], inner, unknown, at)
    }
  }
}

/** The schema of one key, whether the schema lists its properties or describes any. */
export function innerSchema(schema: Schema, key: string): Schema | undefined {
  if (schema.properties && Object.hasOwn(schema.properties, key)) return schema.properties[key]
  if (typeof schema.additionalProperties === 'object') return schema.additionalProperties
  if (schema.additionalProperties === true) return { 'x-kubernetes-preserve-unknown-fields': true }
  return undefined
}

/** Fills in, in place, what is absent and has a default. */
export function applyDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value)) {
    const items = schema.items
    if (items) for (const item of value) applyDefaults(item, items)
    return
  }
  if (!isObject(value)) return
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    if (!Object.hasOwn(value, key) && inner.default !== undefined) setOwn(value, key, structuredClone(inner.default))
  }
  for (const key of Object.keys(value)) {
    const inner = innerSchema(schema, key)
    if (inner) applyDefaults(value[key], inner)
  }
}

function setOwn(target: Json, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
}

function acceptsNull(schema: Schema): boolean {
  const isOpen = schema.type === undefined && schema['x-kubernetes-preserve-unknown-fields'] === true
  return schema.nullable === true || isOpen
}

function isMetaOfEmbedded(schema: Schema, key: string): boolean {
  return schema['x-kubernetes-embedded-resource'] === true && ['apiVersion', 'kind', 'metadata'].includes(key)
}
