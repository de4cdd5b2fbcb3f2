import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { instance, run } from '../support/objects.ts'
import type { TestCluster } from './cluster.ts'
import { answersAfter, nodeAgent } from './objects.ts'

const system = 'k8sclaw-system'
const programs = ['controller', 'apiserver', 'gateway', 'webhook', 'nats']
interface Items {
  items: { metadata: { name: string; uid: string }; spec: { instanceRef?: object }; status?: { phase?: string } }[]
}

/** What becomes of runs when programs of the platform come to harm, or are replaced. */
export function disruptions(current: () => TestCluster): void {
  describe('no run is lost or doubled', () => {
    it.each(programs)('when one pod of %s after the other is killed', async (program) => {
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

    it('while every Deployment is rolled out anew', async () => {
      const cluster = current()
      await underLoad(cluster, 'rolled', async () => {
        await cluster.kubectl(['rollout', 'restart', 'deployment', '-n', system])
        for (const program of programs) {
          const deployment = `deployment/k8sclaw-${program}`
          await cluster.kubectl(['rollout', 'status', deployment, '-n', system, '--timeout=180s'])
        }
      })
    })
  })
}

/** Asks for a run every half second while `harm` is done, and expects each to be performed once. */
async function underLoad(cluster: TestCluster, name: string, harm: () => Promise<void>): Promise<void> {
  await cluster.apply(instance(name, nodeAgent(answersAfter(1)), { maxConcurrentRuns: 8 }))
  const asked: string[] = []
  const ask = async () => {
    const one = `${name}-${asked.length}`
    const { code, stderr } = await cluster.tryKubectl(['create', '-f', '-'], JSON.stringify(run(one, name)))
    // Until the cluster knows that a webhook is gone it refuses what the webhook should have seen, and says so.
    if (code !== 0) expect(stderr).toContain('failed calling webhook')
    else asked.push(one)
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
  const selected = ['-l', `k8sclaw.io/instance=${name}`]
  await expect
    .poll(
      async () => {
        const { items } = await cluster.getJson<Items>('get', 'agentruns', ...selected)
        return Object.fromEntries(items.map(({ metadata, status }) => [metadata.name, status?.phase]))
      },
      { timeout: 180_000, interval: 1000 },
    )
    .toEqual(Object.fromEntries(asked.map((one) => [one, 'Succeeded'])))
  // Pods may be gone by now; that they were made is told as long as events are kept.
  const made = ['get', 'events', '--field-selector=involvedObject.kind=Job,reason=SuccessfulCreate']
  const { items } = await cluster.getJson<Items>(...made)
  expect(items.filter(({ metadata }) => metadata.name.startsWith(`${name}-`))).toHaveLength(asked.length)
  await cluster.kubectl(['delete', 'clawinstance', name])
  await cluster.kubectl(['delete', 'agentruns', ...selected])
}
