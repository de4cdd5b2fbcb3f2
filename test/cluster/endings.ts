import { describe, expect, it } from 'vitest'
import { instance, run } from '../support/objects.ts'
import type { TestCluster } from './cluster.ts'
import { answersAfter, isOver, nodeAgent, until } from './objects.ts'

/** An agent that gives no result when it is told to stop. */
const diesOfCancel = `
setInterval(() => require('node:fs').existsSync('/ipc/input/cancel.json') && process.exit(3), 50)
`

/** What becomes of a run when its pod comes to harm. */
export function endings(current: () => TestCluster): void {
  const isRunning = ({ conditions }: { conditions?: { type: string; status: string }[] | undefined }) =>
    conditions?.some(({ type, status }) => type === 'Started' && status === 'True') === true

  describe('a run', () => {
    it('waits for an image that cannot be had, says so, and can be cancelled', async () => {
      const cluster = current()
      await cluster.apply(instance('no-image', { image: 'k8sclaw/agent:never-made' }))
      await cluster.apply(run('no-image', 'no-image'))
      const why = ({ conditions }: Parameters<typeof isRunning>[0]) =>
        conditions?.some(
          (c) => c.type === 'Started' && 'reason' in c && /^(ErrImagePull|ImagePullBackOff)$/.test(String(c.reason)),
        ) === true
      await until(cluster, 'no-image', why)
      await cluster.kubectl(['patch', 'agentrun', 'no-image', '--type=merge', '-p', '{"spec":{"cancel":true}}'])
      expect((await until(cluster, 'no-image', isOver)).phase).toBe('Cancelled')
    })

    it('is Failed with OOMKilled when its agent uses more memory than it may', async () => {
      const cluster = current()
      const greedy = nodeAgent('const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1))')
      const resources = { requests: { memory: '64Mi' }, limits: { memory: '96Mi' } }
      await cluster.apply(instance('greedy', { ...greedy, resources }))
      await cluster.apply(run('greedy', 'greedy'))
      expect(await until(cluster, 'greedy', isOver)).toMatchObject({ phase: 'Failed', reason: 'OOMKilled' })
    })

    it('is Failed with Evicted when its node is drained', async () => {
      const cluster = current()
      await cluster.apply(instance('slow', { ...nodeAgent(answersAfter(20)), timeout: '5m' }))
      await cluster.apply(run('drained', 'slow'))
      const { podName = '' } = await until(cluster, 'drained', isRunning)
      const { spec } = await cluster.getJson<{ spec: { nodeName: string } }>('get', 'pod', podName)
      const only = ['--pod-selector=k8sclaw.io/run-uid', '--force', '--delete-emptydir-data', '--timeout=60s']
      await cluster.kubectl(['drain', spec.nodeName, ...only])
      await cluster.kubectl(['uncordon', spec.nodeName])
      expect(await until(cluster, 'drained', isOver)).toMatchObject({ phase: 'Failed', reason: 'Evicted' })
    })

    it('is TimedOut when Kubernetes ends its Job, of whose agent the kubelet tells only that it was killed', async () => {
      const cluster = current()
      await cluster.apply(run('overdue', 'slow'))
      const { jobName = '' } = await until(cluster, 'overdue', isRunning)
      await cluster.kubectl(['patch', 'job', jobName, '-p', '{"spec":{"activeDeadlineSeconds":1}}'])
      expect(await until(cluster, 'overdue', isOver)).toMatchObject({ phase: 'TimedOut', reason: 'DeadlineExceeded' })
    })

    it('is Cancelled once that was asked for, though its agent dies of it', async () => {
      const cluster = current()
      await cluster.apply(instance('touchy', { ...nodeAgent(diesOfCancel), timeout: '5m' }))
      await cluster.apply(run('touchy', 'touchy'))
      await until(cluster, 'touchy', isRunning)
      await cluster.kubectl(['patch', 'agentrun', 'touchy', '--type=merge', '-p', '{"spec":{"cancel":true}}'])
      const status = await until(cluster, 'touchy', isOver)
      expect(status).toMatchObject({ phase: 'Cancelled', reason: 'Cancelled' })
    })

    it('goes on while kubelet and containerd are started anew', async ({ skip }) => {
      const cluster = current()
      const { node } = cluster
      if (!node) return skip('only on a node of its own can its programs be stopped')
      await cluster.apply(run('survivor', 'slow'))
      await until(cluster, 'survivor', isRunning)
      for (const program of ['kubelet', 'containerd'] as const) await node.kill(program)
      for (const program of ['containerd', 'kubelet'] as const) await node.start(program)
      expect((await until(cluster, 'survivor', isOver)).phase).toBe('Succeeded')
    })
  })
}
