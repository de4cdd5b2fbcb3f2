import { Ajv, type AnySchema, type ErrorObject, type ValidateFunction } from 'ajv'
import { isObject, type Json } from '../json.ts'
import { type FieldError, invalid, required, tooLong, tooMany, unsupported } from './field-error.ts'
import { formats } from './formats.ts'
import type { Schema } from './schema.ts'

/** More findings than this help nobody, and a long list of bad items would yield one each. */
const maxErrors = 32

/** Compiles the structural schema of a custom resource; throws where it does not compile, for example on a pattern. */
export function compileSchema(schema: Schema): (value: unknown) => FieldError[] {
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: false, unicodeRegExp: false, validateFormats: true })
  for (const [name, validate] of Object.entries(formats)) ajv.addFormat(name, validate)
  ajv.addFormat('int32', { type: 'number', validate: (n) => n >= -(2 ** 31) && n < 2 ** 31 })
  let validate: ValidateFunction | undefined
  const translated = toJsonSchema(schema)
  return (value) => {
    validate ??= ajv.compile(translated)
    if (validate(value)) return []
    return (validate.errors ?? []).slice(0, maxErrors).map(toFieldError)
  }
}

/** Throws where a pattern of the schema is not a regular expression, with the path of it. */
export function checkPatterns(schema: Schema, path: string): FieldError[] {
  const found: FieldError[] = []
  walkSchema(schema, path, (inner, at) => {
    if (inner.pattern === undefined) return
    try {
      new RegExp(portablePattern(inner.pattern))
    } catch (error) {
      found.push(invalid(`${at}.pattern`, inner.pattern, `must be a valid regular expression: ${String(error)}`))
    }
  })
  return found
}

export function walkSchema(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path)
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    walkSchema(inner, `${path}.properties[${key}]`, visit)
  }
  if (schema.items) walkSchema(schema.items, `${path}.items`, visit)
  if (isObject(schema.additionalProperties)) {
    walkSchema(schema.additionalProperties, `${path}.additionalProperties`, visit)
  }
  for (const word of ['allOf', 'anyOf', 'oneOf'] as const) {
    for (const [index, inner] of (schema[word] ?? []).entries()) walkSchema(inner, `${path}.${word}[${index}]`, visit)
  }
  if (schema.not) walkSchema(schema.not, `${path}.not`, visit)
}

/** RE2's leading flags, which schemas do use, in JavaScript's spelling. */
function portablePattern(pattern: string): string {
  return pattern.replace(/^(\^?)\(\?i\)(.*)$/s, '$1(?i:$2)')
}

const known = [
  'enum',
  'minimum',
  'maximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
  'required',
] as const

function toJsonSchema(schema: Schema): AnySchema {
  const out: Json = {}
  for (const word of known) if (schema[word] !== undefined) out[word] = schema[word]
  if (schema.exclusiveMinimum && schema.minimum !== undefined) {
    delete out.minimum
    out.exclusiveMinimum = schema.minimum
  }
  if (schema.exclusiveMaximum && schema.maximum !== undefined) {
    delete out.maximum
    out.exclusiveMaximum = schema.maximum
  }
  if (schema.pattern !== undefined) out.pattern = portablePattern(schema.pattern)
  if (schema.format !== undefined && (schema.format in formats || schema.format === 'int32')) {
    out.format = schema.format
  }
  const types = schema['x-kubernetes-int-or-string'] ? ['integer', 'string'] : schema.type ? [schema.type] : []
  if (types.length > 0) out.type = schema.nullable ? [...types, 'null'] : types
  if (schema.nullable && Array.isArray(out.enum)) out.enum = [...out.enum, null]
  if (schema.properties) {
    out.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, inner]) => [key, toJsonSchema(inner)]),
    )
  }
  if (schema.items) out.items = toJsonSchema(schema.items)
  if (isObject(schema.additionalProperties)) {
    out.additionalProperties = toJsonSchema(schema.additionalProperties)
  }
  for (const word of ['allOf', 'anyOf', 'oneOf'] as const) {
    const inner = schema[word]
    if (inner) out[word] = inner.map(toJsonSchema)
  }
  if (schema.not) out.not = toJsonSchema(schema.not)
  return out
}

/** ajv's finding in the words of kube-apiserver, whose sentences people paste into search engines. */
function toFieldError(error: ErrorObject): FieldError {
  const field = toPath(error.instancePath)
  const params = error.params as Json
  const limit = Number(params.limit)
  const value: unknown = error.data
  const inBody = `${field} in body`
  switch (error.keyword) {
    case 'required': {
      const name = String(params.missingProperty)
      return required(field ? `${field}.${name}` : name)
    }
    case 'type': {
      const types = Array.isArray(params.type) ? params.type.filter((t) => t !== 'null') : [params.type]
      const wanted = types.join(',')
      return invalid(field, typeOf(value), `${inBody} must be of type ${wanted}: "${typeOf(value)}"`)
    }
    case 'enum':
      return unsupported(field, value, Array.isArray(params.allowedValues) ? params.allowedValues : [])
    case 'minLength':
      return invalid(field, value, `${inBody} should be at least ${limit} chars long`)
    case 'maxLength':
      return tooLong(field, limit)
    case 'maxItems':
      return tooMany(field, Array.isArray(value) ? value.length : 0, limit)
    case 'minItems':
      return invalid(field, value, `${inBody} should have at least ${limit} items`)
    case 'maxProperties':
      return tooMany(field, isObject(value) ? Object.keys(value).length : 0, limit)
    case 'minProperties':
      return invalid(field, value, `${inBody} should have at least ${limit} properties`)
    case 'pattern':
      return invalid(field, value, `${inBody} should match '${String(params.pattern)}'`)
    case 'minimum':
      return invalid(field, value, `${inBody} should be greater than or equal to ${limit}`)
    case 'maximum':
      return invalid(field, value, `${inBody} should be less than or equal to ${limit}`)
    case 'exclusiveMinimum':
      return invalid(field, value, `${inBody} should be greater than ${limit}`)
    case 'exclusiveMaximum':
      return invalid(field, value, `${inBody} should be less than ${limit}`)
    case 'format':
      return invalid(field, value, `${inBody} must be of type ${String(params.format)}: ${JSON.stringify(value)}`)
    default:
      return invalid(field, value, `${inBody} ${error.message ?? 'is not valid'}`)
  }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

/** `/spec/items/0/name` to `spec.items[0].name`. */
function toPath(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path ? `${path}.${part}` : part), '')
}
