import { describe, expect, it } from 'vitest'
import type { SkillPack } from '#core/kinds'
import type { ConfigMap } from '#core/kube'
import { skillConfigMap } from '../resources/skill-config-map.ts'
import { effective, run } from '../testing/objects.ts'
import { formerVersions, packStatus } from './reconciler.ts'

const now = new Date('2026-01-01T00:00:00Z')
const map = (name: string): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'team' },
})
const reading = {
  ...effective,
  skills: [{ name: 's', description: 'd', configMap: 'old', key: 's.md', sha256: '0'.repeat(64) }],
}
const pack = (content: string, uid = 'u', name = 'p'): SkillPack => ({
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'SkillPack',
  metadata: { name, namespace: 'team', uid, generation: 3 },
  spec: { skills: [{ name: 's', description: 'd', content }] },
})

describe('formerVersions', () => {
  it.each([
    ['keeps what a Running run reads', run('r', {}, { phase: 'Running', effective: reading }), []],
    ['keeps what a resolved Pending run will read', run('r', {}, { phase: 'Pending', effective: reading }), []],
    ['frees what only a finished run read', run('r', {}, { phase: 'Succeeded', effective: reading }), ['old']],
  ])('%s', (_, one, free) => {
    expect(formerVersions([map('old')], [one], 'team').map((m) => m.metadata.name)).toEqual(free)
  })

  it('does not ask the runs of other namespaces', () => {
    const one = run('r', {}, { phase: 'Running', effective: reading })
    expect(formerVersions([map('old')], [one], 'another')).toHaveLength(1)
  })
})

describe('skillConfigMap', () => {
  it('is named by content and pack, in 63 characters', () => {
    const names = [pack('a'), pack('b'), pack('a', 'v'), pack('a', 'u', `${'x'.repeat(60)}.y`)].map(
      (one) => skillConfigMap(one).metadata.name,
    )
    expect(new Set(names).size).toBe(4)
    for (const name of names) expect(name).toMatch(/^[a-z0-9][-a-z0-9.]{0,61}[a-z0-9]$/)
    expect(skillConfigMap(pack('a'))).toEqual(skillConfigMap(pack('a')))
  })
})

describe('packStatus', () => {
  it('is Ready with the ConfigMap, or an Error that says why', () => {
    expect(packStatus(pack('a'), 'p-1', undefined, now)).toMatchObject({
      phase: 'Ready',
      configMapName: 'p-1',
      skillCount: 1,
      observedGeneration: 3,
    })
    const problem = packStatus(pack('a'), 'p-1', 'it is not ours', now)
    expect(problem).toMatchObject({
      phase: 'Error',
      conditions: [{ type: 'Ready', status: 'False', message: 'it is not ours' }],
    })
    expect(problem.configMapName).toBeUndefined()
  })
})
