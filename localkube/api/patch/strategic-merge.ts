import { badRequest } from '../api-error.ts'
import { equal, isObject, type Json } from '../json.ts'
import { innerSchema, type Schema } from '../schema/index.ts'

const orderPrefix = '$setElementOrder/'
const deletePrefix = '$deleteFromPrimitiveList/'

/**
 * Kubernetes' strategic merge patch: as a merge patch, but lists that have a merge key (by the schema) are merged item
 * by item, and directives delete, replace, order and retain. Neither argument is changed.
 */
export function strategicMerge(current: unknown, patch: unknown, schema: Schema | undefined): unknown {
  if (!isObject(patch)) return patch
  if (patch.$patch === 'replace') return withoutDirectives(patch)
  if (patch.$patch === 'delete') return {}
  const result: Json = isObject(current) ? { ...current } : {}
  if (Array.isArray(patch.$retainKeys)) {
    for (const key of Object.keys(result)) if (!patch.$retainKeys.includes(key)) delete result[key]
  }
  for (const [key, values] of directives(patch, deletePrefix)) {
    const list = result[key]
    if (Array.isArray(list)) result[key] = list.filter((item) => !values.some((value) => equal(item, value)))
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue
    const inner = schema && innerSchema(schema, key)
    const before = Object.hasOwn(result, key) ? result[key] : undefined
    if (value === null) delete result[key]
    else if (Array.isArray(value)) result[key] = mergeList(before, value, inner, key)
    else result[key] = strategicMerge(before, value, inner)
  }
  for (const [key, order] of directives(patch, orderPrefix)) {
    const list = result[key]
    const inner = schema && innerSchema(schema, key)
    if (Array.isArray(list)) result[key] = inOrder(list, order, inner?.['x-kubernetes-patch-merge-key'])
  }
  return result
}

function directives(patch: Json, prefix: string): [string, unknown[]][] {
  return Object.entries(patch).flatMap(([key, value]): [string, unknown[]][] =>
    key.startsWith(prefix) && Array.isArray(value) ? [[key.slice(prefix.length), value]] : [],
  )
}

function withoutDirectives(patch: Json): Json {
  return Object.fromEntries(Object.entries(patch).filter(([key]) => !key.startsWith('$')))
}

function mergeList(current: unknown, patch: unknown[], schema: Schema | undefined, field: string): unknown[] {
  const before: unknown[] = Array.isArray(current) ? current : []
  if (patch.some((item) => isObject(item) && item.$patch === 'replace')) {
    return patch.filter((item) => !(isObject(item) && item.$patch === 'replace'))
  }
  if (schema?.['x-kubernetes-patch-strategy'] !== 'merge') return patch
  const mergeKey = schema['x-kubernetes-patch-merge-key']
  if (mergeKey === undefined) return [...before, ...patch.filter((item) => !before.some((old) => equal(old, item)))]
  const result = [...before]
  for (const item of patch) {
    if (!isObject(item) || item[mergeKey] === undefined) {
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey} (in ${field})`)
    }
    const index = result.findIndex((old) => isObject(old) && old[mergeKey] === item[mergeKey])
    if (item.$patch === 'delete') {
      if (index >= 0) result.splice(index, 1)
    } else {
      const merged = strategicMerge(index < 0 ? undefined : result[index], item, schema.items)
      if (index < 0) result.push(merged)
      else result[index] = merged
    }
  }
  return result
}

/** Sorts what the patch names; what only the server has stays behind the item it stood behind. */
function inOrder(list: unknown[], order: unknown[], mergeKey: string | undefined): unknown[] {
  const identity = (item: unknown): unknown => (mergeKey && isObject(item) ? item[mergeKey] : item)
  const wanted = order.map(identity)
  const position = (item: unknown): number => wanted.findIndex((value) => equal(value, identity(item)))
  const result = list.filter((item) => position(item) >= 0).sort((a, b) => position(a) - position(b))
  for (const [index, item] of list.entries()) {
    if (position(item) >= 0) continue
    const after = index === 0 ? -1 : result.indexOf(list[index - 1])
    result.splice(after + 1, 0, item)
  }
  return result
}
