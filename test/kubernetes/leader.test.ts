/**
 * Two replicas of the controller on a real API server, and what happens to their leader in the midst of many runs. What
 * is counted is what API server and bus recorded: no run is lost, none begun twice, no place taken twice.
 */
import { existsSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type AgentRun, agentRuns, type KubeObject } from '#core/kinds'
import { Informer, jobs, leases, type Pod, pods } from '#core/kube'
import { type ControlPlane, type Manifest, startControlPlane } from '../support/control-plane.ts'
import { instance, run } from '../support/objects.ts'
import { programOf } from '../support/pods.ts'
import { kubernetesAssets } from './assets.ts'

const system = 'k8sclaw-system'
const maxConcurrentRuns = 5
const runs = 60
const patient = { timeout: 120_000, interval: 250 }

interface Lease extends KubeObject {
  spec?: { holderIdentity?: string; leaseTransitions?: number }
}

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('two replicas of the controller', () => {
  const stop = new AbortController()
  const running = new Map<string, Set<string>>()
  const most = new Map<string, number>()
  const podsOfRuns = new Map<string, Set<string>>()
  let stopped: number | undefined
  let plane: ControlPlane
  let watching: Promise<unknown>

  beforeAll(async () => {
    const change = (manifest: Manifest): Manifest => {
      if (manifest.kind !== 'Deployment' || manifest.metadata.name !== 'k8sclaw-controller') return manifest
      const changed = structuredClone(manifest)
      changed.spec.replicas = 2
      // A replica that takes the place of another must not come to the node that only pretends to run pods.
      changed.spec.template.spec.nodeName = 'processes'
      return changed
    }
    plane = await startControlPlane({ runs: 'simulated', change })
    watching = Promise.all([watchRuns(), watchPods()])
  })
  afterEach(() => {
    // Nothing that is stopped can be ended in order.
    if (stopped !== undefined && existsSync(`/proc/${stopped}`)) process.kill(stopped, 'SIGCONT')
    stopped = undefined
  })
  afterAll(async () => {
    stop.abort()
    await watching
    await plane?.close()
  })

  test('are both ready, and one leads', async () => {
    const replicas = await controllers()
    expect(replicas).toHaveLength(2)
    for (const pod of replicas) {
      expect(pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True')
    }
    expect(await leader()).toMatchObject({ metadata: { uid: expect.any(String) } })
  })

  test('lose and double no run when the leader is killed', async () => {
    const killed = await leader()
    await whileRunsGo('killed', () => process.kill(programOf(plane, killed, 'controller'), 'SIGKILL'))
  })

  test('lose and double no run when the leader goes away in order', async () => {
    const going = await leader()
    await whileRunsGo('going', () => plane.admin.delete(pods, going.metadata))
    await expect.poll(async () => (await leader()).metadata.uid, patient).not.toBe(going.metadata.uid)
  })

  test('lose and double no run when the leader stops for longer than its lease, and it writes nothing when it wakes', {
    timeout: 240_000,
  }, async () => {
    const sleeping = await leader()
    const pid = programOf(plane, sleeping, 'controller')
    await whileRunsGo('sleeping', async () => {
      stopped = pid
      process.kill(pid, 'SIGSTOP')
      await expect.poll(async () => (await leader()).metadata.uid, patient).not.toBe(sleeping.metadata.uid)
      process.kill(pid, 'SIGCONT')
    })
    await expect.poll(() => existsSync(`/proc/${pid}`), patient).toBe(false)
    const restarted = async () => {
      const pod = await plane.admin.get<Pod>(pods, sleeping.metadata)
      return pod.status?.containerStatuses?.map(({ restartCount }) => restartCount)
    }
    await expect.poll(restarted, patient).toEqual([1])
    expect((await leader()).metadata.uid).not.toBe(sleeping.metadata.uid)
  })

  /** Makes many runs, lets some of them pass, does it to the leader, and holds to account what became of all. */
  async function whileRunsGo(name: string, happens: () => unknown): Promise<void> {
    await plane.apply(instance(name, {}, { maxConcurrentRuns }))
    const before = plane.simulated?.tasks.length ?? 0
    const names = Array.from({ length: runs }, (_, i) => `${name}-${i}`)
    await Promise.all(
      names.map((one) => plane.admin.create<AgentRun>(agentRuns, run(one, name, { task: one }) as AgentRun)),
    )
    const begun = () => (plane.simulated?.tasks.length ?? 0) - before
    await expect.poll(begun, patient).toBeGreaterThan(runs / 6)
    expect(begun()).toBeLessThan(runs)
    await happens()
    const mine = async () => (await all()).filter(({ spec }) => spec.instanceRef.name === name)
    const over = async () => (await mine()).filter(({ status }) => status?.completedAt).length
    await expect.poll(over, patient).toBe(runs)

    const ended = await mine()
    for (const { metadata, status } of ended) {
      expect([metadata.name, status?.phase, status?.result]).toEqual([metadata.name, 'Succeeded', metadata.name])
    }
    const uids = new Set(ended.map(({ metadata }) => metadata.uid ?? ''))
    const told = plane.simulated?.tasks.filter(({ uid }) => uids.has(uid)).map(({ uid }) => uid) ?? []
    expect([told.length, new Set(told).size], 'each task told once').toEqual([runs, runs])
    expect([...uids].map((uid) => podsOfRuns.get(uid)?.size)).toEqual([...uids].map(() => 1))
    const made = (await plane.admin.list(jobs, { namespace: 'default' })).items.filter(({ metadata }) =>
      uids.has(metadata.labels?.['k8sclaw.io/run-uid'] ?? ''),
    )
    expect(made).toHaveLength(runs)
    expect(most.get(name)).toBe(maxConcurrentRuns)
    expect(plane.simulated?.failures).toEqual([])
  }

  async function all(): Promise<AgentRun[]> {
    return (await plane.admin.list<AgentRun>(agentRuns, { namespace: 'default' })).items
  }

  async function controllers(): Promise<Pod[]> {
    const labelSelector = 'app.kubernetes.io/name=k8sclaw-controller'
    const { items } = await plane.admin.list<Pod>(pods, { namespace: system, labelSelector })
    return items.filter(({ metadata }) => !metadata.deletionTimestamp)
  }

  /** The pod that the Lease names, which is there. */
  async function leader(): Promise<Pod> {
    return await expect
      .poll(async () => await leaderNow(), patient)
      .toBeDefined()
      .then(async () => (await leaderNow()) ?? (await leader()))
  }

  async function leaderNow(): Promise<Pod | undefined> {
    const lease = await plane.admin.get<Lease>(leases, { namespace: system, name: 'k8sclaw-controller' })
    const holds = ({ metadata }: Pod) => lease.spec?.holderIdentity === `${metadata.name}_${metadata.uid}`
    return (await controllers()).find(holds)
  }

  async function watchRuns(): Promise<void> {
    const informer = new Informer<AgentRun>(plane.admin, agentRuns, { namespace: 'default' })
    const note = ({ metadata, spec, status }: AgentRun) => {
      const of = spec.instanceRef.name
      const now = running.get(of) ?? new Set()
      running.set(of, now)
      if (status?.phase === 'Running') now.add(metadata.name)
      else now.delete(metadata.name)
      most.set(of, Math.max(most.get(of) ?? 0, now.size))
    }
    informer.on({ add: note, update: note })
    await informer.run(stop.signal)
  }

  async function watchPods(): Promise<void> {
    const informer = new Informer<Pod>(plane.admin, pods, { namespace: 'default' })
    const note = ({ metadata }: Pod) => {
      const uid = metadata.labels?.['k8sclaw.io/run-uid']
      if (uid) podsOfRuns.set(uid, (podsOfRuns.get(uid) ?? new Set()).add(metadata.uid ?? ''))
    }
    informer.on({ add: note, update: note })
    await informer.run(stop.signal)
  }
})
