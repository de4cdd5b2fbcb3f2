import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KubeObject, resources } from '#localkube/api'
import { namespace, sh, statusOf, TestNode, until } from './testing.ts'

let test: TestNode
beforeAll(async () => {
  test = await TestNode.start('127.88.')
})
afterAll(() => test?.close())

const volumeMounts = [{ name: 'room', mountPath: '/room' }]
const room = (sizeLimit: string) => [{ name: 'room', emptyDir: { sizeLimit } }]

/** What was said of an object, once this was. */
async function said(name: string, reason: string): Promise<string> {
  return await until(async () => {
    const { items } = await test.api.client.list<
      KubeObject & { reason?: string; message?: string; involvedObject?: { name?: string } }
    >(resources.events, { namespace })
    return items.find((event) => event.reason === reason && event.involvedObject?.name === name)?.message
  })
}

describe('a pod that writes more than the limit of its volume', () => {
  it('is evicted, and says which volume; one within its limit, with a file of holes, goes on', async () => {
    const [within, over] = ['truncate -s 1T /room/holes', 'head -c 8000000 /dev/zero > /room/zeros'] as const
    for (const [name, command] of Object.entries({ within, over }))
      await test.createPod(name, {
        restartPolicy: 'Never',
        containers: [sh('main', `${command}; sleep 600`, { volumeMounts })],
        volumes: room('4Mi'),
      })
    const pod = await until(async () => {
      const one = await test.pod('over')
      return one.status?.phase === 'Failed' && one
    }, 60_000)
    const message = 'Usage of EmptyDir volume "room" exceeds the limit "4Mi". '
    expect(pod.status).toMatchObject({ reason: 'Evicted', message })
    expect(await said('over', 'Evicted')).toBe(message)
    await test.phase('within', 'Running')
    await test.api.client.delete(resources.pods, { namespace, name: 'within' }, { gracePeriodSeconds: 0 })
  }, 90_000)
})

it('a pod waits for a node with the labels that it selects, and says so', async () => {
  await test.createPod('choosy', {
    restartPolicy: 'Never',
    nodeSelector: { disk: 'fast' },
    containers: [sh('main', 'exit 0')],
  })
  expect(await said('choosy', 'FailedScheduling')).toContain("didn't match Pod's node affinity/selector")
  expect((await test.pod('choosy')).spec.nodeName).toBeUndefined()
  await test.api.client.patch(resources.nodes, { name: 'localkube' }, { metadata: { labels: { disk: 'fast' } } })
  await test.phase('choosy', 'Succeeded')
})

it('a container that must not be root is not started as root', async () => {
  await test.createPod('rooted', {
    securityContext: { runAsNonRoot: true },
    containers: [sh('main', 'sleep 600', { securityContext: { runAsUser: 0 } })],
  })
  await until(async () => {
    const waiting = statusOf(await test.pod('rooted'), 'main')?.state.waiting
    return waiting?.reason === 'CreateContainerConfigError' && /non-root/.test(waiting.message ?? '')
  })
  await test.api.client.delete(resources.pods, { namespace, name: 'rooted' }, { gracePeriodSeconds: 0 })
})

it('a Job whose pod is refused says why, instead of running it without what was asked for', async () => {
  await test.createJob('isolated', { runtimeClassName: 'gvisor', containers: [sh('main', 'exit 0')] })
  expect(await said('isolated', 'FailedCreate')).toContain('RuntimeClass "gvisor" not found')
  expect(await test.podsWith('job-name=isolated')).toEqual([])
  await test.remove(resources.jobs, 'isolated')
})
