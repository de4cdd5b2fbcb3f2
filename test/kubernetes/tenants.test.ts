/** What a tenant's namespace gets, as a real API server keeps it: nothing that it adds or drops is taken for a change. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type ClawInstance, clawInstances, customResourceDefinitions, type KubeObject } from '#core/kinds'
import {
  connectKube,
  customResourceDefinitionResource,
  type Job,
  type Kube,
  namespaces,
  networkPolicies,
  ownerReference,
  type Pod,
  pods,
} from '#core/kube'
import { canaryJob } from '../../programs/controller/canary/job.ts'
import { podSecurityOf } from '../../programs/controller/instances/pod-security.ts'
import { decideShared, tenantObjects } from '../../programs/controller/resources/tenant.ts'
import { startKubernetes, type TestKubernetes } from '../support/kubernetes.ts'
import { kubernetesAssets } from './assets.ts'

describe.skipIf(!kubernetesAssets())("a tenant's namespace on a real API server", () => {
  const namespace = 'tenant'
  let kubernetes: TestKubernetes
  let admin: Kube
  let instance: ClawInstance

  beforeAll(async () => {
    kubernetes = await startKubernetes()
    admin = connectKube({ server: kubernetes.url, ca: kubernetes.caPem, token: kubernetes.token })
    for (const crd of customResourceDefinitions().values()) {
      await admin.create(customResourceDefinitionResource, crd as unknown as KubeObject)
    }
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    const create = () =>
      admin.create<ClawInstance>(clawInstances, {
        apiVersion: 'k8sclaw.io/v1alpha1',
        kind: 'ClawInstance',
        metadata: { name: 'helper', namespace },
        spec: {
          agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m' } },
          maxConcurrentRuns: 5,
        },
      })
    // A kind is served a moment after its definition is there.
    instance = await vi.waitFor(create, { timeout: 30_000, interval: 200 })
  })
  afterAll(async () => {
    admin?.close()
    await kubernetes?.close()
  })

  const externalBus = { cidrs: ['10.1.0.0/16', 'fd00::/64'], port: 4443 }
  const objects = tenantObjects(namespace, { systemNamespace: 'k8sclaw-system', externalBus })

  test.each(objects)('keeps the $resource.kind as it was made', async (shared) => {
    const { resource, object } = shared
    const made = decideShared(instance, shared, undefined)
    if (made.do !== 'create') throw new Error('there is nothing yet')
    await admin.create(resource, made.object)
    expect(decideShared(instance, shared, await admin.get(resource, object.metadata))).toEqual({ do: 'nothing' })
  })

  test('has a NetworkPolicy put right by one patch, whatever was opened', async () => {
    const [shared] = objects
    if (!shared) throw new Error('no NetworkPolicy')
    const address = { name: shared.object.metadata.name, namespace }
    for (const spec of [
      { ingress: [{}] },
      { egress: [{}] },
      { podSelector: { matchLabels: { a: 'b' } } },
      { policyTypes: ['Ingress'] },
    ]) {
      const bent = await admin.patch(networkPolicies, address, { spec })
      const step = decideShared(instance, shared, bent)
      if (step.do !== 'patch') throw new Error(`${JSON.stringify(spec)} was not noticed`)
      const put = await admin.patch(networkPolicies, address, step.patch)
      expect(decideShared(instance, shared, put)).toEqual({ do: 'nothing' })
    }
  })

  test('admits restricted pods only, of which the canary is one', async () => {
    const before = await admin.get(namespaces, { name: namespace })
    const { patch = {} } = podSecurityOf(before)
    expect(podSecurityOf(await admin.patch(namespaces, before.metadata, patch)).patch).toBeUndefined()
    const job = canaryJob(
      instance,
      { image: 'controller' },
      { open: ['10.0.0.1:1'], closed: ['10.0.0.1:2'] },
      '',
    ) as Job
    const template = job.spec?.template as { metadata: object; spec: NonNullable<Pod['spec']> }
    const pod = (name: string, more: object) =>
      admin.create<Pod>(pods, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...template.metadata, name, namespace, ownerReferences: [ownerReference(instance)] },
        spec: { ...template.spec, ...more },
      })
    await pod('canary', {})
    await expect(pod('privileged', { hostNetwork: true })).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('PodSecurity') as string,
    })
  })
})
