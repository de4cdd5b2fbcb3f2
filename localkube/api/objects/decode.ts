import { badRequest } from '../api-error.ts'
import { isObject, type Json } from '../json.ts'
import { apiVersionOf, type Kind } from '../kinds/index.ts'
import { applyDefaults, findTypeError, prune } from '../schema/index.ts'
import type { KubeObject } from '../types.ts'

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore'

/** Deeper than any object that anybody means, and far from where recursion hurts. */
const maxDepth = 200

/**
 * Makes an object of a kind out of JSON from outside: it is what it claims to be, types fit (built-in kinds), unknown
 * fields are gone and reported as the client asked, or kept for the time being, and defaults are set. Changes `body`.
 */
export function decodeObject(
  kind: Kind,
  body: unknown,
  mode: FieldValidation | 'Keep',
  warnings: string[],
): KubeObject {
  if (!isObject(body)) throw badRequest(`the body must be a JSON object of kind ${kind.kind}`)
  checkIdentity(kind, body)
  inspect(body, '', 0)
  if (mode !== 'Keep') {
    const unknown: string[] = []
    prune(body, kind.schema, (path) => unknown.push(path))
    report(kind, unknown.toSorted(), mode, warnings)
  }
  if (body.metadata === undefined) body.metadata = {}
  const checked = kind.custom ? { metadata: body.metadata } : body
  const problem = findTypeError(checked, kind.schema, kind.kind)
  if (problem)
    throw badRequest(`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${problem}`)
  applyDefaults(body, kind.schema)
  // These two come first, so that a list can leave them out of the text that is stored.
  const { apiVersion, kind: ownKind, ...rest } = body
  return { apiVersion, kind: ownKind, ...rest } as KubeObject
}

/** Absent apiVersion and kind are filled in; others than those of the URL are refused. */
function checkIdentity(kind: Kind, body: Json): void {
  const apiVersion = apiVersionOf(kind)
  if (body.apiVersion !== undefined && body.apiVersion !== apiVersion) {
    const found = String(body.apiVersion)
    throw badRequest(`the API version in the data (${found}) does not match the expected API version (${apiVersion})`)
  }
  if (body.kind !== undefined && body.kind !== kind.kind) {
    throw badRequest(`the kind in the data (${String(body.kind)}) does not match the expected kind (${kind.kind})`)
  }
  body.apiVersion = apiVersion
  body.kind = kind.kind
}

/** What no schema says: how deep an object may nest, and that neither NUL nor `__proto__` occurs anywhere. */
export function inspect(value: unknown, path: string, depth: number): void {
  if (typeof value === 'string') {
    if (value.includes('\0')) throw badRequest(`${path}: Invalid value: must not contain NUL characters`)
    return
  }
  if (typeof value !== 'object' || value === null) return
  if (depth > maxDepth) throw badRequest(`the object nests deeper than ${maxDepth} levels at ${path.slice(0, 80)}…`)
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) inspect(item, `${path}[${index}]`, depth + 1)
    return
  }
  for (const [key, item] of Object.entries(value)) {
    const at = path ? `${path}.${key}` : key
    if (key === '__proto__') throw badRequest(`${at}: a field cannot be called __proto__`)
    if (key.includes('\0')) throw badRequest(`${at}: Invalid value: must not contain NUL characters`)
    inspect(item, at, depth + 1)
  }
}

function report(kind: Kind, unknown: string[], mode: FieldValidation, warnings: string[]): void {
  if (unknown.length === 0 || mode === 'Ignore') return
  const sentences = unknown.map((path) => `unknown field "${path}"`)
  if (mode === 'Warn') {
    warnings.push(...sentences)
    return
  }
  const what = `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}`
  throw badRequest(`${what}: strict decoding error: ${sentences.join(', ')}`)
}
