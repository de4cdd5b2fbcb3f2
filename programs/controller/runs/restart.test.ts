import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { type AgentRun, clawPolicies, type KubeObject, skillPacks } from '#core/kinds'
import { configMaps, pods, services } from '#core/kube'
import {
  admin,
  bridgeEnds,
  createInstance,
  createRun,
  kubelet,
  namespace,
  read,
  startManager,
  startPod,
  stopManager,
  until,
  untilJob,
  useController,
} from '../testing/rig.test-support.ts'

useController()

const apiVersion = 'k8sclaw.io/v1alpha1'
const patient = { timeout: 20_000, interval: 50 }
type Restart = Parameters<typeof startManager>[0]

async function restart(more?: Restart): Promise<void> {
  await stopManager()
  await startManager(more)
}
/** It still waits, for the same, after the controller was killed and started again. */
async function waitsThrough(run: AgentRun, reason: string, more?: Restart): Promise<void> {
  await until(run, { phase: 'Pending', reason })
  await restart(more)
  await until(run, { phase: 'Pending', reason })
}
async function starts(run: AgentRun): Promise<void> {
  await expect.poll(async () => (await read(run)).status?.phase, patient).toBe('Running')
  await untilJob(run)
}

describe('a controller that is started again goes on where a run waits', () => {
  it('for a place', async () => {
    await createInstance({ maxConcurrentRuns: 1 })
    const first = await createRun('a-first')
    await until(first, { phase: 'Running' })
    const second = await createRun('b-second')
    await waitsThrough(second, 'Queued')
    await bridgeEnds(first)
    await starts(second)
  })

  it('for its session', async () => {
    await createInstance()
    const first = await createRun('a-first', { sessionKey: 's' })
    await until(first, { phase: 'Running' })
    const second = await createRun('b-second', { sessionKey: 's' })
    await waitsThrough(second, 'SessionBusy')
    await bridgeEnds(first)
    await starts(second)
  })

  it.each<[string, Parameters<typeof createInstance>[0], () => Promise<unknown>]>([
    [
      'PolicyMissing',
      { policyRef: { name: 'late' } },
      () =>
        admin.create(clawPolicies, {
          ...{ apiVersion, kind: 'ClawPolicy', metadata: { name: 'late', namespace }, spec: {} },
        } as KubeObject),
    ],
    [
      'SkillPackMissing',
      { skills: [{ skillPackRef: { name: 'late' } }] },
      () =>
        admin.create(skillPacks, {
          ...{ apiVersion, kind: 'SkillPack', metadata: { name: 'late', namespace } },
          spec: { skills: [{ name: 'look', description: 'How to look.', content: 'Look.' }] },
        } as KubeObject),
    ],
    [
      'ConfigMapMissing',
      { skills: [{ configMapRef: { name: 'late' } }] },
      () =>
        admin.create(configMaps, {
          ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'late', namespace } },
          data: { 'look.md': 'Look.' },
        } as KubeObject),
    ],
  ])('for what it refers to: %s', async (reason, spec, create) => {
    await createInstance(spec)
    const run = await createRun('early')
    await waitsThrough(run, reason)
    await create()
    await starts(run)
  })

  it('for its instance', async () => {
    const run = await createRun('early')
    await waitsThrough(run, 'InstanceMissing')
    await createInstance()
    await starts(run)
  })

  it('for its parent, and then among its parent’s children', async () => {
    await createInstance({ policyRef: { name: 'late' }, maxConcurrentRuns: 1 })
    const parent = await createRun('parent')
    await until(parent, { reason: 'PolicyMissing' })
    const child = await createRun('child', { parent: { name: 'parent', depth: 1 } })
    await waitsThrough(child, 'ParentPending')
    await admin.create(clawPolicies, {
      ...{ apiVersion, kind: 'ClawPolicy', metadata: { name: 'late', namespace } },
      spec: { subagentPolicy: { maxConcurrent: 1 } },
    } as KubeObject)
    await starts(child)
    const second = await createRun('second', { parent: { name: 'parent', depth: 1 } })
    await waitsThrough(second, 'Queued')
    await bridgeEnds(child)
    await starts(second)
    await until(parent, { phase: 'Running' })
  })

  it('for the Services whose addresses its pod is told', async () => {
    const url = (scheme: string, name: string) => `${scheme}://${name}.k8sclaw-system.svc:1`
    const more: Restart = {
      platform: { isolation: 'kubernetes', allowUnconfined: false, images: { agent: 'agent', sandbox: 'sandbox' } },
      settings: {
        bridgeImage: 'bridge',
        busUrl: url('nats', 'bus'),
        identityUrl: url('http', 'identity'),
        gatewayUrl: url('http', 'gateway'),
      },
    }
    await restart(more)
    await createInstance()
    const run = await createRun('early')
    await waitsThrough(run, 'ServiceMissing', more)
    const ips: Record<string, string> = {}
    for (const name of ['bus', 'identity', 'gateway']) {
      const service = await admin.create(services, {
        ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'k8sclaw-system' } },
        spec: { ports: [{ port: 1 }] },
      } as KubeObject)
      ips[name] = (service as KubeObject & { spec: { clusterIP: string } }).spec.clusterIP
    }
    await starts(run)
    const { template } = (await untilJob(run)).spec as {
      template: { spec: { dnsPolicy: string; hostAliases: object } }
    }
    expect(template.spec).toMatchObject({
      dnsPolicy: 'None',
      hostAliases: ['bus', 'gateway', 'identity'].map((name) => ({
        ip: ips[name],
        hostnames: [`${name}.k8sclaw-system.svc`],
      })),
    })
  })
})

describe('a pod that does not start', () => {
  const pulling = { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } }
  async function stuckPod(run: AgentRun) {
    const pod = await kubelet.createPod(await untilJob(run))
    const container = { name: 'agent', image: 'x', imageID: '', ready: false, restartCount: 0, state: pulling }
    await admin.patch(pods, pod.metadata, { status: { phase: 'Pending', containerStatuses: [container] } }, 'status')
    return pod
  }

  it('is shown with its reason, and its time runs on while no controller is there', async () => {
    const startDeadlineMs = 4_000
    await restart({ startDeadlineMs })
    await createInstance()
    const run = await createRun('stuck')
    await stuckPod(run)
    const { status } = await until(run, { phase: 'Running', reason: 'ImagePullBackOff' })
    expect(status?.conditions).toContainEqual(
      expect.objectContaining({ ...{ type: 'Started', status: 'False', reason: 'ImagePullBackOff' } }),
    )
    await restart({ startDeadlineMs })
    expect((await read(run)).status?.phase).toBe('Running')
    await stopManager()
    await sleep(startDeadlineMs)
    await startManager({ startDeadlineMs })
    const { status: ended } = await until(run, { phase: 'Failed', reason: 'StartDeadline' })
    expect(ended?.error).toBe('not started in 4 s: ImagePullBackOff: container agent: no such image')
  })

  it('is forgiven once it starts after all', async () => {
    await createInstance()
    const run = await createRun('slow')
    const pod = await stuckPod(run)
    await until(run, { reason: 'ImagePullBackOff' })
    await restart()
    await kubelet.running(pod)
    await vi.waitFor(async () => {
      const { status } = await read(run)
      expect(status).toMatchObject({ phase: 'Running', podName: pod.metadata.name })
      expect(status?.reason).toBeUndefined()
    }, patient)
    await bridgeEnds(run)
    await until(run, { phase: 'Succeeded' })
  })
})

describe('a run whose node is lost', () => {
  it('ends with that, also for a controller that comes after it', async () => {
    await createInstance()
    const run = await createRun('lost')
    const pod = await startPod(run)
    await stopManager()
    const conditions = [
      { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByPodGC', message: 'node not found' },
    ]
    await admin.patch(pods, pod.metadata, { status: { conditions } }, 'status')
    await kubelet.ended(pod, 137)
    await startManager()
    await until(run, { phase: 'Failed', reason: 'NodeLost', error: 'node not found' })
  })
})
