import { describe, expect, it } from 'vitest'
import { instance } from '../testing/objects.ts'
import { type InstanceFacts, instanceStatus } from './reconciler.ts'

const now = new Date('2026-01-01T00:00:00Z')
const facts: InstanceFacts = {
  instance: instance(),
  policy: { name: 'default-policy', required: false, exists: true },
  activeRuns: 2,
  isolation: 'bubblewrap',
  inTheWay: [],
}
const conditionsOf = (change: Partial<InstanceFacts>) => {
  const { conditions = [] } = instanceStatus({ ...facts, ...change }, now)
  return Object.fromEntries(conditions.map((c) => [c.type, `${c.status} ${c.reason}`]))
}

describe('instanceStatus', () => {
  it('is Ready with its counters where all is well', () => {
    expect(instanceStatus(facts, now)).toMatchObject({ phase: 'Ready', activeRuns: 2, observedGeneration: 1 })
    expect(conditionsOf({})).toEqual({ PolicyResolved: 'True Bound', Isolated: 'True Isolated', Ready: 'True Ready' })
  })

  it.each([
    [
      'the built-in policy binds',
      { policy: { name: 'default-policy', required: false, exists: false } },
      'PolicyResolved',
      'True Restricted',
    ],
    [
      'the named policy is missing',
      { policy: { name: 'mine', required: true, exists: false } },
      'PolicyResolved',
      'False PolicyMissing',
    ],
    ['nothing isolates', { isolation: 'none' as const }, 'Isolated', 'False None'],
    ['a foreign object is in the way', { inTheWay: ['ServiceAccount k8sclaw-run'] }, 'Ready', 'False NotOurs'],
  ])('says it when %s', (_, change, type, expected) => {
    expect(conditionsOf(change)).toMatchObject({ [type]: expected })
  })
})
