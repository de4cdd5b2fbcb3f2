import { describe, expect, test } from 'vitest'
import { type ClawInstance, clawInstanceSpec, type Effective, type MemoryScope, parseSpec } from '#core/kinds'
import { gateOf, needsSandbox } from './index.ts'
import { memoryOf } from './memory.ts'

const demo = { model: { provider: 'demo', name: 'demo' } }
const instance = (scopes?: MemoryScope[]): ClawInstance => ({
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'ClawInstance',
  metadata: { name: 'desk' },
  spec: parseSpec(clawInstanceSpec, { agents: { default: demo }, ...(scopes && { memory: { scopes } }) }),
})
const ann = { kind: 'user', detail: 'ann' } as const
const all: MemoryScope[] = ['session', 'user', 'instance']
const above = (memory?: Effective['memory']) => ({ ...(memory && { memory }) }) as Effective

describe('how far memories reach', () => {
  test.each([
    ['the session alone where nothing is said', instance(), ann, undefined, undefined],
    [
      'what the instance says, and no user where that is not among it',
      instance(['instance']),
      ann,
      undefined,
      { scopes: ['instance'] },
    ],
    ['the user who asked', instance(all), ann, undefined, { scopes: all, user: 'ann' }],
    ['no user where none asked', instance(all), undefined, undefined, { scopes: all }],
    ['what the parent has, of a child', instance(all), ann, above(), undefined],
    [
      'the user of the parent, of a child',
      instance(all),
      { kind: 'agent', detail: 'p' } as const,
      above({ scopes: all, user: 'bob' }),
      { scopes: all, user: 'bob' },
    ],
    ['never a user that a child names', instance(all), ann, above({ scopes: all }), { scopes: all }],
    ['nothing where parent and instance share nothing', instance(['instance']), ann, above(), { scopes: [] }],
  ])('%s', (_, claw, origin, parent, memory) => {
    expect(memoryOf(claw, origin, parent)).toEqual(memory ? { memory } : {})
  })

  test('no scope twice, none unknown, and not none at all', () => {
    for (const scopes of [['session', 'session'], ['everyone'], []])
      expect(() => instance(scopes as MemoryScope[])).toThrow('scopes')
  })
})

test('the memory tools have a gate of their own and need no sandbox', () => {
  for (const tool of ['memory_store', 'memory_search', 'memory_forget']) {
    expect(gateOf(tool)).toBe('memory')
    expect(needsSandbox(tool)).toBe(false)
  }
})
