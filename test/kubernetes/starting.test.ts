/** Runs whose pods do not start, for reasons that only a real control plane has, and the token of a pod that is gone. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AgentRun, agentRuns } from '#core/kinds'
import { type Pod, pods } from '#core/kube'
import { whoCalls } from '../../programs/controller/identity/who.ts'
import { type ControlPlane, type Manifest, startControlPlane } from '../support/control-plane.ts'
import { allowAll, instance, run } from '../support/objects.ts'
import { kubernetesAssets } from './assets.ts'

const deadlineSeconds = 45
const patient = { timeout: 100_000, interval: 250 }

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('a run whose pod does not start', () => {
  let plane: ControlPlane

  beforeAll(async () => {
    const change = (manifest: Manifest): Manifest => {
      if (manifest.kind !== 'Deployment' || manifest.metadata.name !== 'k8sclaw-controller') return manifest
      const changed = structuredClone(manifest)
      const [container] = changed.spec.template.spec.containers
      container.env.push({ name: 'K8SCLAW_START_DEADLINE_SECONDS', value: `${deadlineSeconds}` })
      return changed
    }
    plane = await startControlPlane({ change })
  })
  afterAll(async () => await plane?.close())

  const into = (namespace: string, ...objects: object[]): object[] =>
    objects.map((object) => {
      const { metadata } = object as { metadata: object }
      return { ...object, metadata: { ...metadata, namespace } }
    })
  async function tenant(namespace: string, agent: object = {}): Promise<void> {
    await plane.kubectl(['create', 'namespace', namespace])
    await plane.apply(...into(namespace, allowAll(), instance('helper', agent)))
  }
  const read = async (namespace: string, name = 'one') =>
    await plane.admin.get<AgentRun>(agentRuns, { namespace, name })
  const reasons = async (namespace: string) => {
    const { status } = await read(namespace)
    const started = status?.conditions?.find(({ type }) => type === 'Started')
    return [status?.phase, status?.reason, started?.status, started?.reason]
  }

  test('says that no node has room for it, and is cancelled as it stands', async () => {
    await tenant('large', { resources: { requests: { cpu: '5k' }, limits: { cpu: '5k' } } })
    await plane.apply(...into('large', run('one', 'helper')))
    await expect.poll(() => reasons('large'), patient).toEqual(['Running', 'Unschedulable', 'False', 'Unschedulable'])
    await plane.admin.patch(agentRuns, { namespace: 'large', name: 'one' }, { spec: { cancel: true } })
    await expect.poll(async () => (await read('large')).status?.phase, patient).toBe('Cancelled')
  })

  test('says that a quota lets no pod in, and ends at its deadline with the words of the quota', async () => {
    await tenant('podless')
    await plane.kubectl(['create', 'quota', 'none', '-n', 'podless', '--hard=pods=0'])
    await plane.apply(...into('podless', run('one', 'helper')))
    await expect.poll(() => reasons('podless'), patient).toEqual(['Running', 'QuotaExceeded', 'False', 'QuotaExceeded'])
    await expect.poll(async () => (await read('podless')).status?.reason, patient).toBe('StartDeadline')
    const { status } = await read('podless')
    expect(status?.error).toContain(`not started in ${deadlineSeconds} s: QuotaExceeded: `)
    expect(status?.error).toContain('exceeded quota: none')
  })

  test('says that a quota lets no Job in, and starts once it does', async () => {
    await tenant('jobless')
    const quota = ['quota', 'none', '-n', 'jobless']
    await plane.kubectl(['create', ...quota, '--hard=count/jobs.batch=0'])
    await plane.apply(...into('jobless', run('one', 'helper')))
    await expect.poll(() => reasons('jobless'), patient).toEqual(['Running', 'QuotaExceeded', 'False', 'QuotaExceeded'])
    await plane.kubectl(['delete', ...quota])
    await expect.poll(async () => (await read('jobless')).status?.phase, patient).toBe('Succeeded')
  })

  test('says that its image is not there', async () => {
    await tenant('imageless', { image: 'registry.invalid/nothing:1' })
    await plane.apply(...into('imageless', run('one', 'helper')))
    await expect.poll(async () => (await reasons('imageless'))[1], patient).toMatch(/^(Err)?Image/)
  })

  test('loses its identity with its pod, whatever the API server still says of the token', async () => {
    const controller = await plane.as('k8sclaw-system', 'k8sclaw-controller')
    await tenant('waiting', { resources: { requests: { cpu: '5k' }, limits: { cpu: '5k' } } })
    await plane.apply(...into('waiting', run('one', 'helper')))
    await expect.poll(async () => (await reasons('waiting'))[1], patient).toBe('Unschedulable')
    const { metadata } = await read('waiting')
    const labelSelector = `k8sclaw.io/run-uid=${metadata.uid}`
    const [pod] = (await plane.admin.list<Pod>(pods, { namespace: 'waiting', labelSelector })).items
    if (!pod?.metadata.uid) throw new Error('the pod of the run is there')
    const { name, uid } = pod.metadata
    const token = await plane.admin.createToken(
      { namespace: 'waiting', name: 'k8sclaw-run' },
      { audiences: ['k8sclaw'], boundPod: { name, uid } },
    )
    expect(await whoCalls(controller, token, 'k8sclaw-system')).toMatchObject({
      ...{ kind: 'run', address: { namespace: 'waiting', uid: metadata.uid }, name: 'one' },
    })
    // The finalizer of the Job controller holds a pod back; whoever removes it removes the pod.
    await plane.admin.patch(pods, pod.metadata, { metadata: { finalizers: null } })
    await plane.admin.delete(pods, pod.metadata, { gracePeriodSeconds: 0 })
    expect(await plane.admin.find(pods, pod.metadata)).toBeUndefined()
    await expect(whoCalls(controller, token, 'k8sclaw-system')).rejects.toMatchObject({
      code: expect.stringMatching(/^(forbidden|unauthenticated)$/),
    })
  })
})
