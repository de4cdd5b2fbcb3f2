import { ClawError } from '#core/errors'

/** A JSON object whose fields nobody has looked at yet. */
export type Json = Record<string, unknown>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Absent and null are the same to both providers. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

/** What would reach past the boundary at the provider, or may: answered as 403. */
export function refuse(field: string, what: string): ClawError {
  return new ClawError('forbidden', `${field}: ${what}`, { field })
}

/** What is not of the wire format at all: answered as 400. */
export function wrong(field: string, what: string): ClawError {
  return new ClawError('invalid', `${field}: ${what}`, { field })
}

/**
 * Throws unless every field of the object is one that is known to stay within the model. A field nobody has judged is
 * refused: each provider adds its own switches for searching, fetching and storing, and a list of those is never whole.
 */
export function onlyFields(object: Json, path: string, known: ReadonlySet<string>, reasons: Json = {}): void {
  for (const [name, value] of Object.entries(object)) {
    if (known.has(name) || (isAbsent(value) && Object.hasOwn(reasons, name))) continue
    const field = path === '' ? name : `${path}.${name}`
    const reason = Object.hasOwn(reasons, name) ? String(reasons[name]) : 'this field is not one that is let through'
    throw refuse(field, reason)
  }
}

/** The objects of an array field; throws ClawError `invalid` for anything else. */
export function objectsOf(value: unknown, field: string, max: number): Json[] {
  if (!Array.isArray(value)) throw wrong(field, 'must be an array')
  if (value.length > max) throw wrong(field, `has ${value.length} entries; at most ${max} are taken`)
  return value.map((entry, i) => {
    if (!isObject(entry)) throw wrong(`${field}[${i}]`, 'must be an object')
    return entry
  })
}

/** What may stand in one kind of content part: its fields, and a rule where a field could name something remote. */
export interface PartRule {
  fields: ReadonlySet<string>
  check?: (part: Json, path: string) => void
}

/** Judges a content field: absent, text, or a list of parts of known types. */
export function checkContent(value: unknown, field: string, parts: Readonly<Record<string, PartRule>>): void {
  if (isAbsent(value) || typeof value === 'string') return
  for (const [i, part] of objectsOf(value, field, maxParts).entries()) {
    const path = `${field}[${i}]`
    const type = part.type
    const rule = typeof type === 'string' && Object.hasOwn(parts, type) ? parts[type] : undefined
    if (!rule) throw refuse(`${path}.type`, `content of type ${JSON.stringify(type ?? null)} is not let through`)
    onlyFields(part, path, rule.fields, partReasons)
    rule.check?.(part, path)
  }
}

/** Throws unless the value is a `data:` URL: anything else is something that the provider would fetch. */
export function dataUrlOnly(value: unknown, field: string): void {
  if (typeof value !== 'string' || !/^data:/i.test(value)) {
    throw refuse(field, 'only data: URLs are let through; the provider would fetch this one')
  }
}

const partReasons = {
  file_id: 'files that the provider keeps are not let through',
  url: 'only inline content is let through; the provider would fetch this',
}

const maxParts = 10_000
