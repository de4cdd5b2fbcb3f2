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
 * Without what counts as absent. In the elements of a list empty objects stay at any depth: as a rule, a peer or the
 * selector of one, they mean everything.
 */
function pruned(value: unknown, inList = false): unknown {
  if (value === null || value === undefined) return undefined
  if (Array.isArray(value)) return value.length > 0 ? value.map((item) => pruned(item, true) ?? item) : undefined
  if (!isObject(value)) return value
  const left = Object.fromEntries(
    Object.entries(value).flatMap(([key, field]) => {
      const kept = pruned(field, inList)
      return kept === undefined ? [] : [[key, kept]]
    }),
  )
  return inList || Object.keys(left).length > 0 ? left : undefined
}
