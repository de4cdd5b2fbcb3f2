/**
 * Everything that a schema accepts, as arbitraries of fast-check made from the schemas themselves: a field that enters
 * a kind is generated from then on. What a rule refuses beyond its node's form is filtered out where it stands.
 */
import fc from 'fast-check'
import * as z from 'zod'
import { agentRunSpec, clawInstanceSpec, clawPolicySpec, skillPackSpec } from '#core/kinds'

/** Words that make objects refer to each other: each text whose form admits some of them is often one of these. */
export const words = [
  'default',
  'coder',
  'demo',
  'openai',
  'desk',
  'a-tool',
  'exec',
  'read_file',
  '*',
  '*_file*',
  'demo/*',
  '*/*',
  'ghcr.io/org/x',
  'ghcr.io/org/x:1',
  'busybox',
  '500m',
  '2',
  '1Gi',
  '300Mi',
  '5m',
  '1h30m',
  'https://api.example/v1',
]

/** Specs that admission accepts as far as the schema goes, as they are written: without the defaults. */
export const specs = {
  AgentRun: arbitraryOf(agentRunSpec),
  ClawInstance: arbitraryOf(clawInstanceSpec),
  ClawPolicy: arbitraryOf(clawPolicySpec),
  SkillPack: arbitraryOf(skillPackSpec),
} as const

/** A value that `schema` accepts. Throws on a kind of schema that it does not know, so that none is left out silently. */
export function arbitraryOf<S extends z.ZodType>(schema: S): fc.Arbitrary<z.input<S>> {
  return build(schema).filter((value) => schema.safeParse(value).success) as fc.Arbitrary<z.input<S>>
}

function build(schema: z.ZodType): fc.Arbitrary<unknown> {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return arbitraryOf(schema.unwrap() as z.ZodType)
  if (schema instanceof z.ZodObject) return fields(schema)
  if (schema instanceof z.ZodArray) {
    const { minItems = 0 } = formOf(schema)
    return fc.array(arbitraryOf(schema.element as z.ZodType), { minLength: minItems, maxLength: minItems + 2 })
  }
  if (schema instanceof z.ZodRecord) return entries(schema)
  if (schema instanceof z.ZodUnion) return fc.oneof(...schema.options.map((one) => arbitraryOf(one as z.ZodType)))
  if (schema instanceof z.ZodEnum) return fc.constantFrom(...schema.options)
  if (schema instanceof z.ZodBoolean) return fc.boolean()
  if (schema instanceof z.ZodNumber) return integer(schema)
  if (schema instanceof z.ZodString) return text(schema)
  throw new Error(`no arbitrary for ${schema.constructor.name}`)
}

function fields(schema: z.ZodObject): fc.Arbitrary<unknown> {
  const model = Object.entries(schema.shape).map(([name, field]) => [name, arbitraryOf(field as z.ZodType)] as const)
  const required = Object.entries(schema.shape)
    .filter(([, field]) => !field.safeParse(undefined).success)
    .map(([name]) => name)
  return fc.record(Object.fromEntries(model), { requiredKeys: required })
}

/** The one rule about the keys of a map that there is: some must be there. */
function entries(schema: z.ZodRecord): fc.Arbitrary<unknown> {
  const value = arbitraryOf(schema.valueType as z.ZodType)
  const key = arbitraryOf(schema.keyType as z.ZodType) as fc.Arbitrary<string>
  return fc
    .tuple(value, fc.dictionary(key, value, { maxKeys: 2 }))
    .map(([one, others]) => ({ ...others, default: one }))
}

function integer(schema: z.ZodNumber): fc.Arbitrary<number> {
  const { minimum = 0, maximum = 1_000_000 } = formOf(schema)
  return fc.oneof(
    fc.integer({ min: minimum, max: Math.min(minimum + 4, maximum) }),
    fc.integer({ min: minimum, max: Math.min(maximum, Number.MAX_SAFE_INTEGER) }),
  )
}

function text(schema: z.ZodString): fc.Arbitrary<string> {
  const { pattern, minLength = 0, maxLength = 64 } = formOf(schema)
  const free = pattern
    ? fc.stringMatching(new RegExp(pattern), { size: 'xsmall' })
    : fc.string({ minLength, maxLength: Math.min(maxLength, minLength + 32) })
  const known = words.filter((word) => schema.safeParse(word).success)
  const accepted = free.filter((value) => schema.safeParse(value).success)
  return known.length > 0 ? fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known) }, accepted) : accepted
}

interface Form {
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  minItems?: number
}

function formOf(schema: z.ZodType): Form {
  return z.toJSONSchema(schema, { io: 'input' }) as Form
}
