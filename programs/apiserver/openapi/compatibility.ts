import type { Json } from './document.ts'

type Node = { [key: string]: Json }
/** Whether a schema is of what clients send, where less may not be taken, or of what they are told. */
type Side = 'request' | 'response'

/**
 * What a client of the older document would miss in the newer: operations, parameters and fields that are gone, types
 * and lists of values that have changed, what has become required, and tighter bounds of what may be sent. One line
 * each. It compares the shapes that `serve` produces, and takes a change that it does not understand for none.
 */
export function breakingChanges(older: Json, newer: Json): string[] {
  const changes: string[] = []
  const [before, after] = [nodeOf(older), nodeOf(newer)]
  for (const [path, methods] of entriesOf(before.paths)) {
    for (const [method, operation] of entriesOf(methods)) {
      const name = `${method.toUpperCase()} ${path}`
      const now = nodeOf(nodeOf(nodeOf(after.paths)[path])[method])
      if (!('responses' in now)) changes.push(`${name}: is gone`)
      else compareOperation(name, nodeOf(operation), now)
    }
  }
  return changes

  function compareOperation(name: string, was: Node, is: Node): void {
    if (was.operationId !== is.operationId) changes.push(`${name}: is named ${String(is.operationId)} now`)
    const parameters = new Map(listOf(is.parameters).map((one) => [keyOf(one), one]))
    const known = new Map(listOf(was.parameters).map((one) => [keyOf(one), one]))
    for (const [key, parameter] of known) {
      const now = parameters.get(key)
      if (!now) changes.push(`${name}: the parameter ${key} is gone`)
      else compare(`${name}: ${key}`, 'request', nodeOf(parameter.schema), nodeOf(now.schema))
    }
    for (const [key, { required }] of parameters) {
      if (required === true && known.get(key)?.required !== true)
        changes.push(`${name}: the parameter ${key} has become required`)
    }
    compareContent(`${name}: the body`, 'request', nodeOf(was.requestBody).content, nodeOf(is.requestBody).content)
    if (is.requestBody && !was.requestBody) changes.push(`${name}: a body has become required`)
    for (const [status, response] of entriesOf(was.responses)) {
      const now = nodeOf(nodeOf(is.responses)[status])
      if (!('description' in now)) changes.push(`${name}: ${status} is gone`)
      else compareContent(`${name}: ${status}`, 'response', nodeOf(response).content, now.content)
    }
  }

  function compareContent(name: string, side: Side, was: Json | undefined, is: Json | undefined): void {
    for (const [type, { schema }] of entriesOf(was).map(([key, value]) => [key, nodeOf(value)] as const)) {
      const now = nodeOf(is)[type]
      if (now === undefined) changes.push(`${name}: ${type} is gone`)
      else compare(name, side, nodeOf(schema), nodeOf(nodeOf(now).schema))
    }
  }

  function compare(name: string, side: Side, reference: Node, nextReference: Node, within: string[] = []): void {
    const id = `${String(reference.$ref)} ${String(nextReference.$ref)}`
    if (within.includes(id) && reference.$ref) return
    const trail = [...within, id]
    const [was, is] = [resolve(before, reference), resolve(after, nextReference)]
    if (JSON.stringify(was.type) !== JSON.stringify(is.type))
      changes.push(`${name}: is ${text(is.type)}, was ${text(was.type)}`)
    compareValues(name, side, was, is)
    if (side === 'request') compareBounds(name, was, is)
    for (const [field, schema] of entriesOf(was.properties)) {
      const now = nodeOf(is.properties)[field]
      if (now === undefined) changes.push(`${name}.${field}: is gone`)
      else compare(`${name}.${field}`, side, nodeOf(schema), nodeOf(now), trail)
    }
    const [required, requiredNow] = [new Set(valuesOf(was.required)), new Set(valuesOf(is.required))]
    const [less, more] = side === 'request' ? [required, requiredNow] : [requiredNow, required]
    const what = side === 'request' ? 'has become required' : 'may be missing now'
    for (const field of more) {
      const gone = side === 'response' && !(String(field) in nodeOf(is.properties))
      if (!less.has(field) && !gone) changes.push(`${name}.${String(field)}: ${what}`)
    }
    for (const inner of ['items', 'additionalProperties']) {
      const [a, b] = [nodeOf(was[inner]), nodeOf(is[inner])]
      if (Object.keys(a).length > 0) compare(`${name}[]`, side, a, b, trail)
    }
  }

  function compareValues(name: string, side: Side, was: Node, is: Node): void {
    const [values, now] = [valuesOf(was.enum), valuesOf(is.enum)]
    if (side === 'request' && now.length > 0) {
      const taken = values.length === 0 ? ['everything else'] : values.filter((value) => !now.includes(value))
      if (taken.length > 0) changes.push(`${name}: takes no longer ${taken.map(text).join(', ')}`)
    }
    if (side === 'response' && values.length > 0 && now.length === 0) changes.push(`${name}: may be anything now`)
  }

  function compareBounds(name: string, was: Node, is: Node): void {
    for (const key of ['maximum', 'maxLength', 'maxItems', 'maxProperties']) {
      const [bound, now] = [was[key] ?? Number.POSITIVE_INFINITY, is[key] ?? Number.POSITIVE_INFINITY]
      if (Number(now) < Number(bound)) changes.push(`${name}: ${key} is ${text(is[key])}, was ${text(was[key])}`)
    }
    for (const key of ['minimum', 'minLength', 'minItems']) {
      const [bound, now] = [was[key] ?? Number.NEGATIVE_INFINITY, is[key] ?? Number.NEGATIVE_INFINITY]
      if (Number(now) > Number(bound)) changes.push(`${name}: ${key} is ${text(is[key])}, was ${text(was[key])}`)
    }
    if (is.pattern !== undefined && is.pattern !== was.pattern) changes.push(`${name}: has another pattern`)
  }
}

function resolve(document: Node, schema: Node): Node {
  if (typeof schema.$ref !== 'string') return schema
  const name = schema.$ref.split('/').at(-1) ?? ''
  return nodeOf(nodeOf(nodeOf(document.components).schemas)[name])
}

function keyOf({ in: where, name }: Node): string {
  return `${text(where)} ${text(name)}`
}

function nodeOf(value: Json | undefined): Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
}

function entriesOf(value: Json | undefined): [string, Json][] {
  return Object.entries(nodeOf(value))
}

function valuesOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : []
}

function listOf(value: Json | undefined): Node[] {
  return valuesOf(value).map(nodeOf)
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing')
}
