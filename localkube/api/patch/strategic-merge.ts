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
    const before = isObject(current) ? current[key] : undefined
    const inner = schema && innerSchema(schema, key)
    if (Array.isArray(list)) result[key] = inOrder(list, order, listOf(before), inner?.['x-kubernetes-patch-merge-key'])
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
  const before = listOf(current)
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
  return inOrder(result, patch, before, mergeKey)
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/**
 * What the patch names comes in its order; what only the server has comes before the next of these that it stood before,
 * and else behind them.
 */
function inOrder(list: unknown[], order: unknown[], before: unknown[], mergeKey: string | undefined): unknown[] {
  const identity = (item: unknown): unknown => (mergeKey && isObject(item) ? item[mergeKey] : item)
  const placeIn = (items: unknown[]) => {
    const identities = items.map(identity)
    return (item: unknown): number => identities.findIndex((value) => equal(value, identity(item)))
  }
  const [wanted, served] = [placeIn(order), placeIn(before)]
  const named = list.filter((item) => wanted(item) >= 0).sort((a, b) => wanted(a) - wanted(b))
  const others = list.filter((item) => wanted(item) < 0).sort((a, b) => served(a) - served(b))
  const result: unknown[] = []
  for (const item of named) {
    const at = served(item)
    while (at >= 0 && others.length > 0 && served(others[0]) < at) result.push(others.shift())
    result.push(item)
  }
  return [...result, ...others]
}
