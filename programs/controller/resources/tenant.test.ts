import { describe, expect, it } from 'vitest'
import type { KubeObject } from '#core/kinds'
import { instance } from '../testing/objects.ts'
import { decideShared, tenantObjects } from './tenant.ts'

const [account, binding] = tenantObjects('team', 'k8sclaw-system')
if (!account || !binding) throw new Error('two objects expected')
const first = instance()
const second = { ...first, metadata: { ...first.metadata, name: 'other', uid: 'uid-other' } }

function created(): KubeObject & Record<string, unknown> {
  const step = decideShared(first, binding as NonNullable<typeof binding>, undefined)
  if (step.do !== 'create') throw new Error('expected create')
  // As an API server would give it back: with fields of its own.
  return { ...(step.object as KubeObject & Record<string, unknown>), extra: true }
}

describe('decideShared', () => {
  it('creates what is not there, owned by the instance', () => {
    expect(created()).toMatchObject({
      metadata: { name: 'k8sclaw-gateway', ownerReferences: [{ uid: 'uid-helper', kind: 'ClawInstance' }] },
      roleRef: { kind: 'ClusterRole', name: 'k8sclaw-provider-reader' },
      subjects: [{ name: 'k8sclaw-gateway', namespace: 'k8sclaw-system' }],
    })
  })

  it('does nothing where all is well', () => {
    expect(decideShared(first, binding, created())).toEqual({ do: 'nothing' })
  })

  it('makes another instance an owner too, so that the first may go', () => {
    expect(decideShared(second, binding, created())).toMatchObject({
      do: 'patch',
      patch: { metadata: { ownerReferences: [{ uid: 'uid-helper' }, { uid: 'uid-other' }] } },
    })
  })

  it('puts right what somebody changed', () => {
    const foreign = { ...created(), subjects: [{ kind: 'User', name: 'mallory' }] }
    expect(decideShared(first, binding, foreign)).toMatchObject({
      do: 'patch',
      patch: { subjects: [{ name: 'k8sclaw-gateway' }] },
    })
  })

  it('leaves alone what no instance owns', () => {
    const foreign = { ...account.object, metadata: { name: 'k8sclaw-run', namespace: 'team' } }
    expect(decideShared(first, account, foreign)).toMatchObject({ do: 'leave' })
  })
})
