import fc from 'fast-check'
import { expect, it } from 'vitest'
import { patchTo } from './merge-patch.ts'

/** RFC 7386, section 2, word by word. */
function apply(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const result: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = apply(result[key], value)
  }
  return result
}

const { object } = fc.letrec<{ object: Record<string, unknown>; value: unknown }>((tie) => ({
  object: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(1, 'x', false, null),
    tie('object'),
    fc.array(tie('value'), { maxLength: 2 }),
  ),
}))

it('makes any object say what another says, and then has nothing to do', () => {
  fc.assert(
    fc.property(object, object, (wanted, present) => {
      const patch = patchTo(wanted, present)
      expect(patchTo(wanted, apply(present, patch ?? {}) as Record<string, unknown>)).toBeUndefined()
    }),
    { numRuns: 1000 },
  )
})

it('has nothing to do for what says the same in other words', () => {
  const wanted = { spec: { ingress: [], podSelector: {}, policyTypes: ['Ingress'] } }
  expect(patchTo(wanted, { spec: { policyTypes: ['Ingress'] } })).toBeUndefined()
})

it('removes what somebody added, and tells a rule for everybody from no rule', () => {
  const wanted = { spec: { policyTypes: ['Ingress'] } }
  expect(patchTo(wanted, { spec: { policyTypes: ['Ingress'], ingress: [{}] } })).toEqual({ spec: { ingress: null } })
})

it('tells a peer in every namespace from one in its own', () => {
  const rule = (peer: object) => ({ spec: { egress: [{ to: [peer], ports: [] }] } })
  const wanted = rule({ namespaceSelector: {}, podSelector: { matchLabels: { a: 'b' } } })
  expect(patchTo(wanted, rule({ podSelector: { matchLabels: { a: 'b' } } }))).toEqual({
    spec: { egress: [{ to: [{ namespaceSelector: {}, podSelector: { matchLabels: { a: 'b' } } }] }] },
  })
  expect(patchTo(wanted, wanted)).toBeUndefined()
})
