import { ApiError, badRequest } from '../api-error.ts'
import { clone, equal, isObject } from '../json.ts'

/** RFC 6902 with more operations than this is an attack or an accident; kube-apiserver has the same limit. */
const maxOperations = 10_000

interface Operation {
  op: string
  path: string
  from: string | undefined
  value: unknown
}

/** Applies a JSON patch to a copy of `document`. A patch that does not apply is a 422 that names the operation. */
export function jsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be an array of operations')
  if (patch.length > maxOperations) {
    throw new ApiError(
      413,
      'RequestEntityTooLarge',
      `the allowed maximum operations in a JSON patch is ${maxOperations}`,
    )
  }
  return patch.reduce<unknown>((current, raw, index) => apply(current, read(raw, index), index), clone(document))
}

function read(raw: unknown, index: number): Operation {
  if (!isObject(raw) || typeof raw.op !== 'string' || typeof raw.path !== 'string') {
    throw badRequest(`operation ${index} of the JSON patch needs "op" and "path"`)
  }
  return { op: raw.op, path: raw.path, from: typeof raw.from === 'string' ? raw.from : undefined, value: raw.value }
}

function apply(document: unknown, operation: Operation, index: number): unknown {
  const fail = (why: string): ApiError =>
    new ApiError(
      422,
      'Invalid',
      `the server rejected our request due to an error in our request: ${operation.op} operation does not apply: doc is missing path: ${operation.path}: ${why} (operation ${index})`,
    )
  const path = parsePointer(operation.path, fail)
  switch (operation.op) {
    case 'add':
      return set(document, path, operation.value, 'add', fail)
    case 'replace':
      get(document, path, fail)
      return set(document, path, operation.value, 'replace', fail)
    case 'remove':
      return remove(document, path, fail)
    case 'test':
      if (!equal(get(document, path, fail), operation.value)) throw fail('test failed')
      return document
    case 'copy':
    case 'move': {
      const from = parsePointer(operation.from ?? '', fail)
      const value = clone(get(document, from, fail))
      const rest = operation.op === 'move' ? remove(document, from, fail) : document
      return set(rest, path, value, 'add', fail)
    }
    default:
      throw fail('unknown operation')
  }
}

type Fail = (why: string) => ApiError

function parsePointer(pointer: string, fail: Fail): string[] {
  if (pointer === '') return []
  if (!pointer.startsWith('/')) throw fail('a path starts with /')
  return pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function get(document: unknown, path: string[], fail: Fail): unknown {
  let at = document
  for (const part of path) {
    if (Array.isArray(at)) at = at[indexOf(part, at.length - 1, fail)]
    else if (isObject(at) && Object.hasOwn(at, part)) at = at[part]
    else throw fail(`nothing at "${part}"`)
  }
  return at
}

function set(document: unknown, path: string[], value: unknown, mode: 'add' | 'replace', fail: Fail): unknown {
  const last = path.at(-1)
  if (last === undefined) return value
  const parent = get(document, path.slice(0, -1), fail)
  if (Array.isArray(parent)) {
    if (mode === 'replace') parent[indexOf(last, parent.length - 1, fail)] = value
    else parent.splice(last === '-' ? parent.length : indexOf(last, parent.length, fail), 0, value)
  } else if (isObject(parent)) {
    if (last === '__proto__') throw fail('a field cannot be called __proto__')
    parent[last] = value
  } else throw fail('the parent is neither an object nor an array')
  return document
}

function remove(document: unknown, path: string[], fail: Fail): unknown {
  const last = path.at(-1)
  if (last === undefined) return null
  get(document, path, fail)
  const parent = get(document, path.slice(0, -1), fail)
  if (Array.isArray(parent)) parent.splice(indexOf(last, parent.length - 1, fail), 1)
  else if (isObject(parent)) delete parent[last]
  return document
}

function indexOf(part: string, max: number, fail: Fail): number {
  const index = /^(0|[1-9]\d{0,8})$/.test(part) ? Number(part) : -1
  if (index < 0 || index > max) throw fail(`no index "${part}"`)
  return index
}
