import * as z from 'zod'

/** A node of a structural schema (KEP 1693): the subset of OpenAPI v3 that a CRD may hold. */
export interface StructuralSchema {
  type?: string
  description?: string
  properties?: Record<string, StructuralSchema>
  additionalProperties?: StructuralSchema
  items?: StructuralSchema
  required?: string[]
  [keyword: string]: unknown
}

const dropped = new Set(['$schema', '$id', 'id', 'title', 'examples'])

/**
 * The structural schema of a zod object, as an API server reads it: defaults kept, defaulted fields not required.
 * Throws where zod can say what a structural schema cannot (unions, recursion), so that no CRD is silently weaker
 * than its source.
 */
export function toStructural(schema: z.ZodType): StructuralSchema {
  const json = z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'input', reused: 'inline', cycles: 'throw' })
  return convert(json as Record<string, unknown>, '')
}

function convert(node: Record<string, unknown>, path: string): StructuralSchema {
  if (node['x-kubernetes-int-or-string'] === true) return intOrString(node)
  for (const keyword of ['anyOf', 'oneOf', 'allOf', 'not', '$ref', 'patternProperties']) {
    if (keyword in node) throw new Error(`${path || 'schema'}: ${keyword} has no structural form`)
  }
  const out: StructuralSchema = {}
  for (const [key, value] of Object.entries(node)) {
    if (dropped.has(key)) continue
    if (key === 'properties') {
      const entries = Object.entries(value as Record<string, Record<string, unknown>>)
      out.properties = Object.fromEntries(entries.map(([name, child]) => [name, convert(child, `${path}.${name}`)]))
    } else if (key === 'items') {
      out.items = convert(value as Record<string, unknown>, `${path}[]`)
    } else if (key === 'additionalProperties') {
      if (value !== false) out.additionalProperties = convert(value as Record<string, unknown>, `${path}.*`)
    } else if (key === 'propertyNames') {
      addNameRule(out, value as Record<string, unknown>)
    } else if (key === 'x-kubernetes-validations') {
      out[key] = [...((out[key] as unknown[]) ?? []), ...(value as unknown[])]
    } else {
      out[key] = value
    }
  }
  return integerBounds(out)
}

/** The one union there is: a text that YAML may write as a whole number. It has no type, and bounds of either kind. */
function intOrString({ anyOf, ...node }: Record<string, unknown>): StructuralSchema {
  const [number, text] = ['integer', 'string'].map((type) => (anyOf as StructuralSchema[]).find((o) => o.type === type))
  const { type: _, ...bounds } = integerBounds({ ...number })
  const { type: __, ...form } = text ?? {}
  const { format: ___, ...rest } = bounds
  return { ...node, ...form, ...rest }
}

/** zod bounds an integer by what a double holds; an API server wants int64 without those bounds. */
function integerBounds(node: StructuralSchema): StructuralSchema {
  if (node.type !== 'integer') return node
  const { minimum, maximum, ...rest } = node
  return {
    ...rest,
    format: 'int64',
    ...(minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER ? { minimum } : {}),
    ...(maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER ? { maximum } : {}),
  }
}

/** A structural schema cannot bound the keys of a map; CEL can. */
function addNameRule(node: StructuralSchema, names: Record<string, unknown>): void {
  const { pattern, maxLength } = names as { pattern?: string; maxLength?: number }
  const tests = [
    pattern && `k.matches('${pattern.replaceAll('\\', '\\\\')}')`,
    maxLength && `k.size() <= ${maxLength}`,
  ].filter(Boolean)
  if (tests.length === 0) return
  const rule = {
    rule: `self.all(k, ${tests.join(' && ')})`,
    message: `each key must match ${pattern ?? '.*'} and have at most ${maxLength} characters`,
  }
  node['x-kubernetes-validations'] = [...((node['x-kubernetes-validations'] as unknown[]) ?? []), rule]
}
