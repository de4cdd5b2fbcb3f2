import { Environment, type ParseResult } from '@marcbachmann/cel-js'
import { isObject } from '../json.ts'
import { type FieldError, invalid, ruleBroken } from './field-error.ts'
import { innerSchema } from './prune.ts'
import type { Schema, ValidationRule } from './schema.ts'

interface Compiled {
  rule: ValidationRule
  run: ParseResult
  message: ParseResult | undefined
  /** Speaks of oldSelf, so it has nothing to say when an object is created. */
  isTransition: boolean
}

/** The rules of every schema node that has any; a WeakMap, as schemas live and die with their CRD. */
const compiled = new WeakMap<Schema, Compiled[]>()

const environment = new Environment({ unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false })
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn')

/** Compiles one rule; throws what is wrong with it as a sentence. */
function compileExpression(expression: string): ParseResult {
  const result = environment.parse(expression)
  const checked = result.check()
  if (!checked.valid) throw checked.error ?? new Error('does not type-check')
  return result
}

/** Compiles the rules of one schema node and reports those that do not compile. */
export function compileRules(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = []
  const ready: Compiled[] = []
  for (const [index, rule] of (schema['x-kubernetes-validations'] ?? []).entries()) {
    const at = `${path}.x-kubernetes-validations[${index}]`
    try {
      const message = rule.messageExpression ? compileExpression(rule.messageExpression) : undefined
      const isTransition = /\boldSelf\b/.test(rule.rule) && rule.optionalOldSelf !== true
      ready.push({ rule, run: compileExpression(rule.rule), message, isTransition })
    } catch (error) {
      errors.push(invalid(`${at}.rule`, rule.rule, `compilation failed: ${firstLine(error)}`))
    }
  }
  if (ready.length > 0) compiled.set(schema, ready)
  return errors
}

/**
 * Evaluates `x-kubernetes-validations` all the way down. `old` is undefined on create; items of lists are compared with
 * their predecessors only where the list is a map, as elsewhere nobody can say which was which.
 */
export function checkRules(value: unknown, old: unknown, schema: Schema, path = ''): FieldError[] {
  if (value === undefined || value === null) return []
  const errors: FieldError[] = []
  for (const one of compiled.get(schema) ?? []) {
    if (one.isTransition && old === undefined) continue
    const problem = evaluate(one, value, old, schema, path)
    if (problem) errors.push(problem)
  }
  if (Array.isArray(value) && schema.items) {
    const { items } = schema
    const previous = Array.isArray(old) ? old : []
    for (const [index, item] of value.entries()) {
      errors.push(...checkRules(item, findPredecessor(item, previous, schema), items, `${path}[${index}]`))
    }
  } else if (isObject(value)) {
    for (const [key, field] of Object.entries(value)) {
      const inner = innerSchema(schema, key)
      const before = isObject(old) ? old[key] : undefined
      if (inner) errors.push(...checkRules(field, before, inner, path ? `${path}.${key}` : key))
    }
  }
  return errors
}

function evaluate(one: Compiled, value: unknown, old: unknown, schema: Schema, path: string): FieldError | undefined {
  const { rule } = one
  const field = `${path}${rule.fieldPath ?? ''}`.replace(/^\./, '')
  const context = { self: toCel(value, schema), oldSelf: old === undefined ? null : toCel(old, schema) }
  try {
    if (one.run(context) === true) return undefined
  } catch (error) {
    return invalid(field, value, `rule evaluation error: ${firstLine(error)}: ${rule.rule}`)
  }
  return ruleBroken(field, value, messageOf(one, context), rule.reason)
}

function messageOf(one: Compiled, context: Record<string, unknown>): string {
  if (one.message) {
    try {
      const text: unknown = one.message(context)
      if (typeof text === 'string' && text.trim() !== '') return text
    } catch {
      // As in Kubernetes, a message expression that fails falls back to the static message.
    }
  }
  return one.rule.message ?? `failed rule: ${one.rule.rule}`
}

/** Integers are bigint in CEL, names that are no identifiers are escaped, and times are timestamps. */
function toCel(value: unknown, schema: Schema | undefined): unknown {
  if (Array.isArray(value)) return value.map((item) => toCel(item, schema?.items))
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, field]) => {
        const isProperty = schema?.properties !== undefined && Object.hasOwn(schema.properties, key)
        return [isProperty ? escapeName(key) : key, toCel(field, schema && innerSchema(schema, key))]
      }),
    )
  }
  if (typeof value === 'number') {
    const isInteger =
      schema?.type === 'integer' || (schema?.['x-kubernetes-int-or-string'] === true && Number.isInteger(value))
    return isInteger ? BigInt(value) : value
  }
  if (typeof value === 'string' && schema?.format === 'date-time') return new Date(value)
  return value
}

/** https://kubernetes.io/docs/reference/using-api/cel/#escaping */
const reserved = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
)

function escapeName(name: string): string {
  if (reserved.has(name)) return `__${name}__`
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
}

function findPredecessor(item: unknown, previous: unknown[], schema: Schema): unknown {
  const keys = schema['x-kubernetes-list-map-keys']
  if (schema['x-kubernetes-list-type'] !== 'map' || !keys || !isObject(item)) return undefined
  return previous.find((old) => isObject(old) && keys.every((key) => old[key] === item[key]))
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
}
