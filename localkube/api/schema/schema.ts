/** The structural subset of OpenAPI v3 in which Kubernetes describes objects, and short words to write it down. */
export interface Schema {
  type?: string
  format?: string
  title?: string
  description?: string
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema | boolean
  required?: string[]
  enum?: unknown[]
  default?: unknown
  example?: unknown
  nullable?: boolean
  minimum?: number
  maximum?: number
  exclusiveMinimum?: boolean
  exclusiveMaximum?: boolean
  multipleOf?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
  minProperties?: number
  maxProperties?: number
  allOf?: Schema[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  not?: Schema
  $ref?: string
  'x-kubernetes-preserve-unknown-fields'?: boolean
  'x-kubernetes-int-or-string'?: boolean
  'x-kubernetes-embedded-resource'?: boolean
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  'x-kubernetes-list-map-keys'?: string[]
  'x-kubernetes-map-type'?: 'atomic' | 'granular'
  'x-kubernetes-validations'?: ValidationRule[]
  'x-kubernetes-patch-merge-key'?: string
  'x-kubernetes-patch-strategy'?: string
  'x-kubernetes-group-version-kind'?: { group: string; version: string; kind: string }[]
}

export interface ValidationRule {
  rule: string
  message?: string
  messageExpression?: string
  reason?: string
  fieldPath?: string
  optionalOldSelf?: boolean
}

export const string: Schema = { type: 'string' }
export const bytes: Schema = { type: 'string', format: 'byte' }
export const time: Schema = { type: 'string', format: 'date-time' }
export const integer: Schema = { type: 'integer', format: 'int32' }
export const long: Schema = { type: 'integer', format: 'int64' }
export const boolean: Schema = { type: 'boolean' }
export const intOrString: Schema = { 'x-kubernetes-int-or-string': true }
/** Quantities may be written as numbers. */
export const quantity: Schema = { 'x-kubernetes-int-or-string': true }
/** Anything; what is inside is kept as it is. */
export const any: Schema = { 'x-kubernetes-preserve-unknown-fields': true }
export const anyObject: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }

export function object(properties: Record<string, Schema>, required: string[] = []): Schema {
  return required.length > 0 ? { type: 'object', properties, required } : { type: 'object', properties }
}

export function map(value: Schema): Schema {
  return { type: 'object', additionalProperties: value }
}

export function list(items: Schema): Schema {
  return { type: 'array', items }
}

/** A list whose items a strategic merge patch finds by `key`. */
export function keyedList(key: string, items: Schema): Schema {
  return { type: 'array', items, 'x-kubernetes-patch-merge-key': key, 'x-kubernetes-patch-strategy': 'merge' }
}

/** A list of plain values that a strategic merge patch adds to. */
export function mergedSet(items: Schema): Schema {
  return { type: 'array', items, 'x-kubernetes-patch-strategy': 'merge' }
}

/** The same schema with a sentence for `kubectl explain`. */
export function described(schema: Schema, description: string): Schema {
  return { ...schema, description }
}
