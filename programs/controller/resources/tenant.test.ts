import { describe, expect, it } from 'vitest'
import type { KubeObject } from '#core/kinds'
import { instance } from '../testing/objects.ts'
import { decideShared, type Shared, tenantObjects } from './tenant.ts'

const [network, account, binding] = tenantObjects('team', { systemNamespace: 'k8sclaw-system' })
if (!network || !account || !binding) throw new Error('three objects expected')
const first = instance()
const second = { ...first, metadata: { ...first.metadata, name: 'other', uid: 'uid-other' } }

function created(of: Shared | undefined = binding): KubeObject & Record<string, unknown> {
  if (!of) throw new Error('nothing to create')
  const step = decideShared(first, of, undefined)
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

  it('closes again what somebody opened, by a rule more as by a rule less', () => {
    const { spec } = network.object as unknown as { spec: { egress: object[] } }
    for (const egress of [[...spec.egress, {}], spec.egress.slice(1)]) {
      const changed = { ...created(network), spec: { ...spec, egress } } as KubeObject
      expect(decideShared(first, network, changed)).toMatchObject({
        do: 'patch',
        patch: { spec: { egress: spec.egress } },
      })
    }
    const opened = { ...created(network), spec: { ...spec, ingress: [{}] } } as KubeObject
    expect(decideShared(first, network, opened)).toMatchObject({ do: 'patch', patch: { spec: { ingress: null } } })
    // As an API server gives it back: without what is empty.
    const { ingress: _, ...served } = (created(network) as unknown as { spec: Record<string, unknown> }).spec
    expect(decideShared(first, network, { ...created(network), spec: served } as KubeObject)).toEqual({ do: 'nothing' })
  })

  it('makes a binding anew that was pointed at another role, because its role cannot be changed', () => {
    const bent = { ...created(), roleRef: { kind: 'ClusterRole', name: 'cluster-admin' } }
    bent.metadata.uid = 'uid-bent'
    expect(decideShared(second, binding, bent)).toMatchObject({
      do: 'replace',
      uid: 'uid-bent',
      object: {
        metadata: { ownerReferences: [{ uid: 'uid-helper' }, { uid: 'uid-other' }] },
        roleRef: { name: 'k8sclaw-provider-reader' },
      },
    })
  })

  it('leaves alone what no instance owns', () => {
    const foreign = { ...account.object, metadata: { name: 'k8sclaw-run', namespace: 'team' } }
    expect(decideShared(first, account, foreign)).toMatchObject({ do: 'leave' })
  })
})

describe('the network policy of runs', () => {
  it('lets them reach bus, gateway and identity endpoint by their pods, and an external bus by its addresses', () => {
    const [object] = tenantObjects('team', {
      systemNamespace: 'system',
      externalBus: { cidrs: ['10.1.0.0/16', '10.2.0.0/16'], port: 4443 },
    })
    const platform = { matchLabels: { 'kubernetes.io/metadata.name': 'system' } }
    const program = (name: string, port: number) => ({
      to: [{ namespaceSelector: platform, podSelector: { matchLabels: { 'app.kubernetes.io/name': name } } }],
      ports: [{ protocol: 'TCP', port }],
    })
    expect(object?.object.spec).toEqual({
      podSelector: { matchExpressions: [{ key: 'k8sclaw.io/run-uid', operator: 'Exists' }] },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [],
      egress: [
        program('k8sclaw-nats', 4222),
        program('k8sclaw-gateway', 8080),
        program('k8sclaw-controller', 8082),
        {
          to: [{ ipBlock: { cidr: '10.1.0.0/16' } }, { ipBlock: { cidr: '10.2.0.0/16' } }],
          ports: [{ protocol: 'TCP', port: 4443 }],
        },
      ],
    })
  })
})
