import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { agentRuns } from '#core/kinds'
import { untilJudged } from '#core/kube'
import { instance, run } from '../support/objects.ts'
import type { TestCluster } from './cluster.ts'
import { answersAfter, nodeAgent } from './objects.ts'

const system = 'k8sclaw-system'
const programs = ['controller', 'apiserver', 'gateway', 'webhook', 'nats']
/** The machine may be busy with other things, and every run is several processes. */
const timeout = 600_000
/** So many runs are there at once that are not over. */
const most = 12
interface Items {
  items: { metadata: { name: string; uid: string }; spec: { instanceRef?: object }; status?: { phase?: string } }[]
}

/** What becomes of runs when programs of the platform come to harm, or are replaced. */
export function disruptions(current: () => TestCluster): void {
  describe('no run is lost or doubled', () => {
    it.each(programs)('when one pod of %s after the other is killed', { timeout }, async (program) => {
      const cluster = current()
      const rollout = ['rollout', 'status', `deployment/k8sclaw-${program}`, '-n', system, '--timeout=120s']
      await underLoad(cluster, `killed-${program}`, async () => {
        const selected = ['-n', system, '-l', `app.kubernetes.io/name=k8sclaw-${program}`]
        const { items } = await cluster.getJson<Items>('get', 'pods', ...selected)
        expect(items.length).toBeGreaterThan(0)
        for (const { metadata } of items) {
          if (cluster.node) cluster.node.killContainers(metadata.uid)
          else await cluster.kubectl(['delete', 'pod', metadata.name, '-n', system, '--grace-period=0', '--force'])
          // Until that is noticed, and mended.
          await sleep(3_000)
          await cluster.kubectl(rollout)
        }
      })
    })

    it('while every Deployment is rolled out anew', { timeout }, async () => {
      const cluster = current()
      const roll = async () => {
        await cluster.kubectl(['rollout', 'restart', 'deployment', '-n', system])
        for (const program of programs) {
          const deployment = `deployment/k8sclaw-${program}`
          await cluster.kubectl(['rollout', 'status', deployment, '-n', system, '--timeout=180s'])
        }
      }
      // What is replaced in order refuses nothing, so nobody has to ask again.
      await underLoad(cluster, 'rolled', roll, (write) => write())
    })
  })
}

/**
 * Asks for a run every half second while `harm` is done, and expects each to be admitted and performed once. Where the
 * node does not keep up it only asks whether one would be admitted.
 */
async function underLoad(
  cluster: TestCluster,
  name: string,
  harm: () => Promise<void>,
  create: <T>(write: () => Promise<T>) => Promise<T> = untilJudged,
): Promise<void> {
  await cluster.apply(instance(name, nodeAgent(answersAfter(1)), { maxConcurrentRuns: 8 }))
  const asked: string[] = []
  const selected = ['-l', `k8sclaw.io/instance=${name}`]
  const phases = async () => {
    const { items } = await cluster.getJson<Items>('get', 'agentruns', ...selected)
    return Object.fromEntries(items.map(({ metadata, status }) => [metadata.name, status?.phase]))
  }
  const ask = async () => {
    const one = `${name}-${asked.length}`
    const isFull = Object.values(await phases()).filter((phase) => phase !== 'Succeeded').length >= most
    const query = isFull ? { dryRun: 'All' } : {}
    const path = cluster.kube.collection(agentRuns, 'default')
    await create(() => cluster.kube.requestJson(path, { method: 'POST', query, body: run(one, name) }))
    if (!isFull) asked.push(one)
  }
  await ask()
  let isDone = false
  const harmed = harm().finally(() => {
    isDone = true
  })
  // It is awaited below, where a failure is the test's.
  harmed.catch(() => undefined)
  while (!isDone || asked.length < 6) {
    await ask()
    await sleep(500)
  }
  await harmed
  await expect
    .poll(phases, { timeout: 240_000, interval: 1000 })
    .toEqual(Object.fromEntries(asked.map((one) => [one, 'Succeeded'])))
  // Pods may be gone by now; that they were made is told as long as events are kept.
  const made = ['get', 'events', '--field-selector=involvedObject.kind=Job,reason=SuccessfulCreate']
  const { items } = await cluster.getJson<Items>(...made)
  expect(items.filter(({ metadata }) => metadata.name.startsWith(`${name}-`))).toHaveLength(asked.length)
  await cluster.kubectl(['delete', 'clawinstance', name])
  await cluster.kubectl(['delete', 'agentruns', ...selected])
}
