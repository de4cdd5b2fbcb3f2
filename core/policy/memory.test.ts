import { describe, expect, test } from 'vitest'
import { type ClawInstance, clawInstanceSpec, type Effective, type MemoryScope, parseSpec } from '#core/kinds'
import { gateOf, needsSandbox } from './index.ts'
import { embeddingsRefused, memoryOf } from './memory.ts'

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

describe('what compares the memories of an instance', () => {
  const embeddings = { provider: 'vectors', name: 'v-1', dimensions: 512, shortened: false }
  const secretRef = { name: 'key' }
  const claw = (more: object = {}, memory: object = { embeddings }) => ({
    ...instance(),
    spec: parseSpec(clawInstanceSpec, { agents: { default: demo }, memory, ...more }),
  })
  const withKey = { authRefs: [{ provider: 'vectors', secretRef }] }
  const bounds = (name: string, modelsAllowed?: string[]) => ({
    ...{ policy: { name, generation: 1 }, ...(modelsAllowed && { modelsAllowed }) },
  })

  test('is decided with the Secret of its provider', () => {
    expect(memoryOf(claw(withKey), ann, undefined)).toEqual({
      memory: { scopes: ['session'], embeddings: { ...embeddings, secretRef } },
    })
    const offline = { provider: 'demo', name: 'demo', dimensions: 64, shortened: true }
    expect(memoryOf(claw({}, { scopes: ['user'], embeddings: offline }), ann, undefined)).toEqual({
      memory: { scopes: ['user'], user: 'ann', embeddings: offline },
    })
  })

  test('is held to the policy of the instance, and to those of the runs above', () => {
    expect(embeddingsRefused(instance(), [bounds('p', [])])).toBeUndefined()
    expect(embeddingsRefused(claw(withKey), [bounds('p'), bounds('q', ['vectors/*'])])).toBeUndefined()
    for (const forbidding of [bounds('q', []), bounds('q', ['openai/*', 'vectors/v-2'])])
      expect(embeddingsRefused(claw(withKey), [bounds('p', ['*/*']), forbidding])).toEqual({
        reason: 'ModelNotAllowed',
        message: 'policy q does not allow the embeddings model vectors/v-1 of instance desk',
        instanceField: 'spec.memory.embeddings',
      })
  })

  test('needs a credential, but for the demo provider', () => {
    const missing = 'instance desk has no authRef for provider vectors of its memory.embeddings'
    expect(embeddingsRefused(claw(), [bounds('p')])).toEqual({ reason: 'NoCredential', message: missing })
    const offline = { embeddings: { ...embeddings, provider: 'demo' } }
    expect(embeddingsRefused(claw({}, offline), [bounds('p')])).toBeUndefined()
  })

  test.each([
    ['a provider that has no embeddings', { provider: 'anthropic' }, 'anthropic has no embeddings'],
    ['longer vectors than an index takes', { dimensions: 4001 }, 'dimensions'],
    ['no length', { dimensions: undefined }, 'dimensions'],
    ['no model', { name: '' }, 'name'],
    ['a field that nobody knows', { baseURL: 'http://x' }, 'baseURL'],
  ])('is not %s', (_, more, message) => {
    expect(() => claw(withKey, { embeddings: { ...embeddings, ...more } })).toThrow(message)
  })
})

test('the memory tools have a gate of their own and need no sandbox', () => {
  for (const tool of ['memory_store', 'memory_search', 'memory_forget']) {
    expect(gateOf(tool)).toBe('memory')
    expect(needsSandbox(tool)).toBe(false)
  }
})
