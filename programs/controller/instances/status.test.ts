import { describe, expect, it } from 'vitest'
import { instance } from '../testing/objects.ts'
import { podSecurityOf } from './pod-security.ts'
import { type InstanceFacts, instanceStatus } from './status.ts'

const now = new Date('2026-01-01T00:00:00Z')
const facts: InstanceFacts = {
  instance: instance(),
  policy: { name: 'default-policy', required: false, exists: true },
  activeRuns: 2,
  isolation: 'bubblewrap',
  podSecurity: { label: 'enforce', level: 'restricted' },
  canary: undefined,
  inTheWay: [],
  channels: [],
}
const conditionsOf = (change: Partial<InstanceFacts>) => {
  const { conditions = [] } = instanceStatus({ ...facts, ...change }, now)
  return Object.fromEntries(conditions.map((c) => [c.type, `${c.status} ${c.reason}`]))
}

describe('instanceStatus', () => {
  it('is Ready with its counters where all is well', () => {
    expect(instanceStatus(facts, now)).toMatchObject({ phase: 'Ready', activeRuns: 2, observedGeneration: 1 })
    expect(conditionsOf({})).toEqual({
      PolicyResolved: 'True Bound',
      PodSecurity: 'True Restricted',
      Isolated: 'True Isolated',
      Ready: 'True Ready',
    })
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
    [
      'the namespace admits other pods too',
      { podSecurity: { label: 'enforce', level: 'privileged' } },
      'PodSecurity',
      'False OtherLevel',
    ],
    ['no canary has looked yet', { isolation: 'kubernetes' as const }, 'Isolated', 'Unknown NotChecked'],
    [
      'a canary got through',
      {
        isolation: 'kubernetes' as const,
        canary: { status: 'False' as const, reason: 'NetworkOpen', message: 'pods of runs reach 10.0.0.1:443' },
      },
      'Isolated',
      'False NetworkOpen',
    ],
    ['nothing isolates', { isolation: 'none' as const }, 'Isolated', 'False None'],
    ['a foreign object is in the way', { inTheWay: ['ServiceAccount k8sclaw-run'] }, 'Ready', 'False NotOurs'],
  ])('says it when %s', (_, change, type, expected) => {
    expect(conditionsOf(change)).toMatchObject({ [type]: expected })
  })
})

it('keeps what a canary found while the next one looks', () => {
  const open = { status: 'False' as const, reason: 'NetworkOpen', message: 'pods of runs reach 10.0.0.1:443' }
  const found = instanceStatus({ ...facts, isolation: 'kubernetes', canary: open }, now)
  const later = instanceStatus({ ...facts, isolation: 'kubernetes', instance: instance({}, found) }, new Date())
  expect(later).toEqual(found)
})

describe('podSecurityOf', () => {
  const namespace = (labels?: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'team', resourceVersion: '7', ...(labels ? { labels } : {}) },
  })

  it('asks for restricted pods where nobody has set a level', () => {
    expect(podSecurityOf(namespace({ other: 'label' }))).toMatchObject({
      level: 'restricted',
      patch: {
        metadata: {
          resourceVersion: '7',
          labels: { 'pod-security.kubernetes.io/enforce': 'restricted', 'k8sclaw.io/pod-security': 'set' },
        },
      },
    })
  })

  it.each(['restricted', 'baseline', 'privileged'])('leaves %s as it is', (level) => {
    const found = podSecurityOf(namespace({ 'pod-security.kubernetes.io/enforce': level }))
    expect([found.level, found.patch]).toEqual([level, undefined])
  })
})
