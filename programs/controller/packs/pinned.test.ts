import { describe, expect, it } from 'vitest'
import type { ConfigMap } from '#core/kube'
import { copyOfAnnotation, pinnedConfigMap } from '../resources/skill-config-map.ts'
import { instance } from '../testing/objects.ts'
import { unlikely } from './pinned.ts'

const source = (data: Record<string, string>, name = 'notes'): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'team' },
  data,
})

describe('pinnedConfigMap', () => {
  it('copies the skills and nothing else, for good', () => {
    const copy = pinnedConfigMap(instance(), source({ 'look.md': 'Look.', 'key.pem': 'secret', 'Not A Label.md': 'x' }))
    expect(copy).toMatchObject({
      metadata: { namespace: 'team', annotations: { [copyOfAnnotation]: 'notes' } },
      data: { 'look.md': 'Look.' },
      immutable: true,
    })
    expect(copy.data).not.toHaveProperty('key.pem')
  })

  it('is named by what is in it and by whose it is, not by the order of the keys', () => {
    const name = (data: Record<string, string>, of = instance()) => pinnedConfigMap(of, source(data)).metadata.name
    const other = instance()
    other.metadata.uid = 'uid-other'
    expect(name({ 'a.md': '1', 'b.md': '2' })).toBe(name({ 'b.md': '2', 'a.md': '1' }))
    expect(new Set([name({ 'a.md': '1' }), name({ 'a.md': '2' }), name({ 'a.md': '1' }, other)]).size).toBe(3)
  })
})

it('the newest copy of what the instance still names is likely to be read again, the others are not', () => {
  const copy = (name: string, of: string, creationTimestamp: string): ConfigMap => ({
    ...source({}, name),
    metadata: { name, namespace: 'team', creationTimestamp, annotations: { [copyOfAnnotation]: of } },
  })
  const copies = [
    copy('notes-1', 'notes', '2026-01-01T00:00:00Z'),
    copy('notes-2', 'notes', '2026-01-02T00:00:00Z'),
    copy('former-1', 'former', '2026-01-03T00:00:00Z'),
  ]
  const naming = instance({ skills: [{ configMapRef: { name: 'notes' } }] })
  expect(unlikely(copies, naming).map(({ metadata }) => metadata.name)).toEqual(['notes-1', 'former-1'])
})
