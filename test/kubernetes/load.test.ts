/** Five hundred runs at once: counted in what the API server and the bus recorded, never timed. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isClawError } from '#core/errors'
import { type AgentRun, agentRuns } from '#core/kinds'
import { Informer, type Pod, pods } from '#core/kube'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { instance, run } from '../support/objects.ts'
import { kubernetesAssets } from './assets.ts'

const runs = 500
const instances = ['one', 'two', 'three', 'four']
const maxConcurrentRuns = 20

interface Seen {
  name: string
  instance: string
  phase: string
  attempt: number
}

describe.skipIf(!kubernetesAssets()?.hasControllerManager)(`${runs} runs at once on a real API server`, () => {
  const stop = new AbortController()
  const seen: Seen[] = []
  const podsOfRuns = new Map<string, Set<string>>()
  let plane: ControlPlane
  let watching: Promise<unknown>

  beforeAll(async () => {
    plane = await startControlPlane({ runs: 'simulated' })
    await plane.apply(...instances.map((name) => instance(name, {}, { maxConcurrentRuns })))
    watching = Promise.all([watchRuns(), watchPods()])
  })
  afterAll(async () => {
    stop.abort()
    await watching
    await plane?.close()
  })

  test('all succeed, each with the answer to its own task', async () => {
    const names = Array.from({ length: runs }, (_, i) => `run-${i}`)
    const create = async (name: string, i: number) => {
      const of = instances[i % instances.length] ?? ''
      const wanted = run(name, of, { task: `task of ${name}` }) as AgentRun
      // On a busy machine the API server may not wait for admission; who is told so asks again, as any client does.
      for (let left = 30; ; left--) {
        try {
          await plane.admin.create<AgentRun>(agentRuns, wanted)
          return
        } catch (error) {
          if (isClawError(error, 'already_exists')) return
          if (left === 0 || !isClawError(error, 'unavailable', 'unjudged', 'timeout', 'too_many')) throw error
        }
        await delay(1_000)
      }
    }
    await Promise.all(names.map(create))
    const over = async () => (await all()).filter(({ status }) => status?.completedAt).length
    await expect.poll(over, { timeout: 240_000, interval: 1_000 }).toBe(runs)
    const wrong = (await all()).filter(
      ({ metadata, status }) => status?.phase !== 'Succeeded' || status.result !== `task of ${metadata.name}`,
    )
    expect(wrong.map(({ metadata, status }) => [metadata.name, status])).toEqual([])
    expect(plane.simulated?.failures).toEqual([])
  }, 300_000)

  test('none was begun twice: one pod and one delivered task each', () => {
    expect(podsOfRuns.size).toBe(runs)
    expect([...podsOfRuns.values()].filter((uids) => uids.size !== 1)).toEqual([])
    const uids = plane.simulated?.tasks.map(({ uid }) => uid) ?? []
    expect([uids.length, new Set(uids).size]).toEqual([runs, runs])
  })

  test('no instance had more Running than it may have, at any change of any run', () => {
    const running = new Map<string, Set<string>>()
    const most = new Map<string, number>()
    for (const { name, instance: of, phase } of seen) {
      const now = running.get(of) ?? new Set()
      running.set(of, now)
      if (phase === 'Running') now.add(name)
      else now.delete(name)
      most.set(of, Math.max(most.get(of) ?? 0, now.size))
    }
    // All places were taken at some time: otherwise nothing would have been tried here.
    expect(Object.fromEntries(most)).toEqual(Object.fromEntries(instances.map((name) => [name, maxConcurrentRuns])))
    expect(seen.filter(({ attempt }) => attempt > 1)).toEqual([])
  })

  async function all(): Promise<AgentRun[]> {
    return (await plane.admin.list<AgentRun>(agentRuns, { namespace: 'default' })).items
  }

  async function watchRuns(): Promise<void> {
    const informer = new Informer<AgentRun>(plane.admin, agentRuns, { namespace: 'default' })
    const note = ({ metadata, spec, status }: AgentRun) =>
      seen.push({
        name: metadata.name,
        instance: spec.instanceRef.name,
        phase: status?.phase ?? 'Pending',
        attempt: status?.attempt ?? 1,
      })
    informer.on({ add: note, update: note })
    await informer.run(stop.signal)
  }

  async function watchPods(): Promise<void> {
    const informer = new Informer<Pod>(plane.admin, pods, { namespace: 'default' })
    const note = ({ metadata }: Pod) => {
      const uid = metadata.labels?.['k8sclaw.io/run-uid']
      if (!uid || uid === 'canary') return
      podsOfRuns.set(uid, (podsOfRuns.get(uid) ?? new Set()).add(metadata.uid ?? ''))
    }
    informer.on({ add: note, update: note })
    await informer.run(stop.signal)
  }
})
