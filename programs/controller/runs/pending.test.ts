import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { SkillPack } from '#core/kinds'
import { effective, instance, run } from '../testing/objects.ts'
import { decidePending, type PendingFacts } from './pending.ts'

const platform = {
  isolation: 'bubblewrap',
  allowUnconfined: false,
  images: { agent: 'agent', sandbox: 'sandbox' },
} as const

function decide(facts: Partial<PendingFacts>) {
  const one = facts.run ?? run('me')
  return decidePending({
    run: one,
    parent: undefined,
    configMaps: new Map(),
    instance: instance(),
    policies: () => undefined,
    packs: () => undefined,
    siblings: [one],
    claimed: new Set(),
    platform,
    ...facts,
  })
}

const pack: SkillPack = {
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'SkillPack',
  metadata: { name: 'p', generation: 2 },
  spec: { skills: [{ name: 's', description: 'd', content: 'c' }] },
  status: { phase: 'Ready', configMapName: 'p-hash', observedGeneration: 2 },
}
const child = run('child', { parent: { name: 'above', depth: 1 } })
const withPack = instance({ skills: [{ skillPackRef: { name: 'p' } }] })

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

describe('decidePending', () => {
  it('starts a run whose references are there', () => {
    expect(decide({})).toMatchObject({ do: 'start', effective: { model: { provider: 'demo' }, image: 'agent' } })
  })

  it.each([
    ['InstanceMissing', { instance: undefined }],
    ['PolicyMissing', { instance: instance({ policyRef: { name: 'absent' } }) }],
    ['SkillPackMissing', { instance: withPack }],
    ['SkillPackMissing', { instance: withPack, packs: () => ({ ...pack, metadata: { name: 'p', generation: 3 } }) }],
    ['SkillPackMissing', { instance: withPack, packs: () => ({ ...pack, status: { phase: 'Error' as const } }) }],
    ['ConfigMapMissing', { instance: instance({ skills: [{ configMapRef: { name: 'mine' } }] }) }],
    ['ParentPending', { run: child, parent: run('above') }],
  ])('waits, Resolved=False, for what does not exist yet: %s', (reason, facts) => {
    expect(decide(facts)).toMatchObject({ do: 'wait', condition: 'Resolved', reason })
  })

  it('mounts the published version of a pack', () => {
    expect(decide({ instance: withPack, packs: () => pack })).toMatchObject({
      do: 'start',
      effective: { skills: [{ name: 's', configMap: 'p-hash', key: 's.md' }] },
    })
  })

  it('pins the skills of a ConfigMap as they read now', () => {
    const map = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'mine' },
      data: { 'look.md': '# How to look' },
    }
    const refs = { instance: instance({ skills: [{ configMapRef: { name: 'mine' } }] }) }
    expect(decide({ ...refs, configMaps: new Map([['mine', map]]) })).toMatchObject({
      do: 'start',
      effective: {
        skills: [{ name: 'look', description: 'How to look', configMap: 'mine', sha256: sha256('# How to look') }],
      },
    })
  })

  it('waits for the Services whose addresses a pod without DNS is told', () => {
    expect(decide({ missingHost: 'Service k8sclaw-nats does not exist yet' })).toMatchObject({
      ...{ do: 'wait', condition: 'Started', reason: 'ServiceMissing', forMs: 10_000 },
    })
  })

  it('starts a child while its parent holds the last place, up to the children that the parent may have at once', () => {
    const above = run('above', {}, { phase: 'Running', effective })
    const others = [run('other', {}, { phase: 'Running' })]
    const siblings = [above, ...others]
    expect(decide({ run: child, parent: above, siblings })).toMatchObject({ do: 'start' })
    const running = Array.from({ length: 5 }, (_, i) => run(`c${i}`, child.spec, { phase: 'Running' }))
    expect(decide({ run: child, parent: above, siblings: [...siblings, ...running] })).toMatchObject({
      do: 'wait',
      reason: 'Queued',
      message: expect.stringContaining('5 children of above'),
    })
    expect(decide({ siblings: [...running, above] })).toMatchObject({ do: 'start' })
  })

  it('ends a child whose parent is gone', () => {
    expect(decide({ run: child })).toMatchObject({ do: 'conclude', ending: { reason: 'ParentMissing' } })
  })

  it('does not start before its instance is Ready, and keeps what it resolved', () => {
    expect(decide({ instance: instance({}, {}) })).toMatchObject({
      do: 'wait',
      condition: 'Started',
      reason: 'InstanceNotReady',
      effective: { agent: 'default' },
    })
  })

  it('resolves once: what stands in the status is not decided again', () => {
    const first = decide({})
    if (first.do !== 'start') throw new Error('expected a start')
    const resolved = run('me', {}, { effective: { ...first.effective, image: 'as it was' } })
    expect(decide({ run: resolved })).toMatchObject({ do: 'start', effective: { image: 'as it was' } })
  })

  it('ends a run that can never start as written', () => {
    expect(decide({ run: run('me', { agent: 'nobody' }) })).toMatchObject({
      do: 'conclude',
      ending: { phase: 'Failed', reason: 'UnknownAgent' },
    })
  })

  it('cancels at once, whatever else is missing', () => {
    expect(decide({ run: run('me', { cancel: true }), instance: undefined })).toEqual({
      do: 'conclude',
      ending: { phase: 'Cancelled', reason: 'Cancelled' },
    })
  })

  it('queues with the resolution in hand', () => {
    const full = [run('a', {}, { phase: 'Running' }), run('b', {}, { phase: 'Running' })]
    expect(decide({ siblings: full })).toMatchObject({ do: 'wait', reason: 'Queued', effective: { agent: 'default' } })
  })
})
