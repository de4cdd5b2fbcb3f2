import { isDeepStrictEqual } from 'node:util'

type Json = Record<string, unknown>

/**
 * The merge patch (RFC 7386) that makes `present` say exactly what `wanted` says, or undefined where it does. What
 * `present` has beyond it is removed: a rule that somebody added to a NetworkPolicy opens it as surely as a changed
 * one. Null, an empty list and an empty object count as absent, because an API server drops or adds them at will.
 */
export function patchTo(wanted: Json, present: Json): Json | undefined {
  const patch: Json = {}
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(present)])) {
    const to = pruned(wanted[key])
    const from = pruned(present[key])
    if (isDeepStrictEqual(to, from)) continue
    if (to === undefined) patch[key] = null
    else patch[key] = isObject(to) && isObject(from) ? patchTo(to, from) : to
  }
  return Object.keys(patch).length > 0 ? patch : undefined
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Without what counts as absent. Elements of a list stay, also an empty object: as a peer or a rule it means everything.
 */
function pruned(value: unknown): unknown {
  if (value === null || value === undefined) return undefined
  if (Array.isArray(value))
    return value.length > 0 ? value.map((item) => (isObject(item) ? fields(item) : item)) : undefined
  if (!isObject(value)) return value
  const left = fields(value)
  return Object.keys(left).length > 0 ? left : undefined
}

function fields(object: Json): Json {
  return Object.fromEntries(
    Object.entries(object).flatMap(([key, value]) => {
      const left = pruned(value)
      return left === undefined ? [] : [[key, left]]
    }),
  )
}
