/** The webhook while one of its replicas stops or dies, and runs are asked for without pause, on a real API server. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AgentRun, agentRuns } from '#core/kinds'
import { type Pod, pods, untilJudged } from '#core/kube'
import { type ControlPlane, type Manifest, startControlPlane } from '../support/control-plane.ts'
import { run } from '../support/objects.ts'
import { programOf } from '../support/pods.ts'
import { kubernetesAssets } from './assets.ts'

const system = 'k8sclaw-system'
const patient = { timeout: 120_000, interval: 200 }

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('two replicas of the webhook', () => {
  let plane: ControlPlane

  beforeAll(async () => {
    const change = (manifest: Manifest): Manifest => {
      if (manifest.kind !== 'Deployment' || manifest.metadata.name !== 'k8sclaw-webhook') return manifest
      const changed = structuredClone(manifest)
      changed.spec.replicas = 2
      // As config/default has it.
      changed.spec.strategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
      changed.spec.template.spec.containers[0].env.push({ name: 'K8SCLAW_DRAIN_SECONDS', value: '5' })
      return changed
    }
    plane = await startControlPlane({ change })
  })
  afterAll(async () => await plane?.close())

  test('refuse nothing while they are replaced in order', async () => {
    const before = await replicas()
    const { admitted, refused } = await askingFor(async () => {
      await plane.kubectl(['rollout', 'restart', 'deployment/k8sclaw-webhook', '-n', system])
      await plane.kubectl(['rollout', 'status', 'deployment/k8sclaw-webhook', '-n', system, '--timeout=120s'])
      const uids = new Set(before.map(({ metadata }) => metadata.uid))
      const left = async () => (await all()).filter(({ metadata }) => uids.has(metadata.uid)).length
      await expect.poll(left, patient).toBe(0)
    })
    expect(refused).toEqual([])
    expect(admitted).toBeGreaterThan(20)
  })

  test('refuse nobody who asks again, when one after the other is killed', async () => {
    const { admitted, refused } = await askingFor(async () => {
      for (const pod of await replicas()) {
        process.kill(programOf(plane, pod, 'webhook'), 'SIGKILL')
        await expect.poll(() => isBack(pod), patient).toBe(true)
      }
    }, untilJudged)
    expect(refused).toEqual([])
    expect(admitted).toBeGreaterThan(20)
  })

  /** Asks for runs, four at a time, of which nothing is kept, until it is done. */
  async function askingFor(
    it: () => Promise<void>,
    ask: <T>(write: () => Promise<T>) => Promise<T> = (write) => write(),
  ): Promise<{ admitted: number; refused: string[] }> {
    const path = plane.admin.collection(agentRuns, 'default')
    const refused: string[] = []
    let admitted = 0
    let isDone = false
    const asking = async () => {
      while (!isDone) {
        const request = { method: 'POST', query: { dryRun: 'All' }, body: run(`asked-${admitted}`, 'nobody') }
        await ask(() => plane.admin.requestJson<AgentRun>(path, request)).then(
          () => admitted++,
          (error: Error) => refused.push(error.message),
        )
      }
    }
    const four = [asking(), asking(), asking(), asking()]
    try {
      await it()
    } finally {
      isDone = true
      await Promise.all(four)
    }
    return { admitted, refused }
  }

  async function all(): Promise<Pod[]> {
    const labelSelector = 'app.kubernetes.io/name=k8sclaw-webhook'
    return (await plane.admin.list<Pod>(pods, { namespace: system, labelSelector })).items
  }

  async function replicas(): Promise<Pod[]> {
    return (await all()).filter(({ metadata }) => !metadata.deletionTimestamp)
  }

  async function isBack({ metadata }: Pod): Promise<boolean> {
    const { status } = await plane.admin.get<Pod>(pods, metadata)
    return status?.containerStatuses?.every(({ ready, restartCount = 0 }) => ready && restartCount > 0) === true
  }
})
