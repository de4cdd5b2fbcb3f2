import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { childName, isOwnedBy, keyOf, ownerReference } from './names.ts'

describe('childName', () => {
  it('is a DNS label of at most 63 characters for any parts', () => {
    const part = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?$/)
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 3 }), (parts) => {
        expect(childName(parts)).toMatch(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/)
      }),
    )
  })

  it('differs where only the cut or the border between parts differs', () => {
    const long = 'x'.repeat(80)
    const names = [
      childName([`${long}a`]),
      childName([`${long}b`]),
      childName(['a-b', 'c']),
      childName(['a', 'b-c']),
      childName(['a', 'b-c'], { salt: 'another owner' }),
    ]
    expect(new Set(names).size).toBe(names.length)
    expect(names[3]).toMatch(/^a-b-c-[0-9a-f]{10}$/)
  })
})

describe('ownership', () => {
  const owner = { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'o', uid: 'u1' } }
  const child = { apiVersion: 'v1', kind: 'Child', metadata: { name: 'c', ownerReferences: [ownerReference(owner)] } }

  it('goes by uid, so that a successor of the same name owns nothing', () => {
    expect(isOwnedBy(child, owner)).toBe(true)
    expect(isOwnedBy(child, { ...owner, metadata: { name: 'o', uid: 'u2' } })).toBe(false)
  })

  it('keys are namespace and name, or the name alone', () => {
    expect(keyOf({ metadata: { name: 'n', namespace: 's' } })).toBe('s/n')
    expect(keyOf({ metadata: { name: 'n' } })).toBe('n')
  })
})
