import { afterAll, beforeAll, expect, it } from 'vitest'
import { type KubeObject, resources } from '#localkube/api'
import { namespace, sh, TestNode, until } from './testing.ts'

let test: TestNode
beforeAll(async () => {
  test = await TestNode.start('127.89.')
})
afterAll(() => test?.close())

const containers = [sh('main', 'exit 0')]
const cordon = (unschedulable: boolean) =>
  test.api.client.patch(resources.nodes, { name: 'localkube' }, { spec: { unschedulable } })

/** The pod once it says that no node takes it; it is on none. */
async function waits(pod: string) {
  const found = await until(async () => {
    const one = await test.pod(pod)
    return one.status?.conditions?.some(({ reason }) => reason === 'Unschedulable') && one
  })
  expect(found.spec.nodeName).toBeUndefined()
  expect(found.status?.phase).toBe('Pending')
  expect(found.status?.conditions).toMatchObject([
    { type: 'PodScheduled', status: 'False', message: '0/1 nodes are available: 1 node(s) were unschedulable.' },
  ])
}

it('lets no new pod run on a node that is cordoned, also after a restart, and says why; uncordoned it runs them', async () => {
  await cordon(true)
  await test.createPod('bare', { restartPolicy: 'Never', containers })
  await test.createJob('work', { containers })
  const [ofJob] = await until(async () => {
    const pods = await test.podsWith('job-name=work')
    return pods.length > 0 && pods
  })
  const name = ofJob?.metadata.name ?? ''
  await waits('bare')
  await waits(name)
  await until(async () => {
    const { items } = await test.api.client.list<KubeObject & { reason?: string; involvedObject?: { name?: string } }>(
      resources.events,
      { namespace },
    )
    return items.some(({ reason, involvedObject }) => reason === 'FailedScheduling' && involvedObject?.name === 'bare')
  })
  await test.createPod('tolerant', {
    restartPolicy: 'Never',
    containers,
    tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' }],
  })
  await test.phase('tolerant', 'Succeeded')

  await test.restart()
  await waits('bare')
  await waits(name)

  await cordon(false)
  expect((await test.phase('bare', 'Succeeded')).status?.conditions).toContainEqual(
    expect.objectContaining({ type: 'PodScheduled', status: 'True' }),
  )
  await test.finished('work')
})

it('lets a pod go that never had a node', async () => {
  await cordon(true)
  await test.createPod('unwanted', { containers })
  await waits('unwanted')
  await test.remove(resources.pods, 'unwanted')
  await test.gone(resources.pods, 'unwanted')
  await cordon(false)
})
