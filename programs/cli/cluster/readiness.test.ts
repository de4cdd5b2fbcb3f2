import { afterAll, beforeAll, expect, test } from 'vitest'
import type { KubeObject, Resource } from '#core/kinds'
import { deployments, namespaces, pods } from '#core/kube'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import type { Manifest } from '../manifest-file.ts'
import { untilReady } from './readiness.ts'

let cluster: TestCluster
const metadata = { name: 'web', namespace: 'ready' }
const labels = { app: 'web' }
const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'web:1' }] } }
const manifest = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata,
  spec: { replicas: 2, selector: { matchLabels: labels }, template },
} satisfies Manifest

beforeAll(async () => {
  cluster = await startCluster()
  await cluster.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ready' } })
})
afterAll(() => cluster?.close())

const soon = { timeout: 20_000 }
const status = (resource: Resource, name: string, said: object) =>
  cluster.admin.patch(resource, { name, namespace: 'ready' }, { status: said }, 'status')

test('waiting names what is not there, what its pods say, and ends once all has rolled out and a run is admitted', async () => {
  const { admin } = cluster
  const said: string[] = []
  const waiting = untilReady(admin, [manifest], 60_000, (sentence) => said.push(sentence))
  await expect.poll(() => said, soon).toEqual(['waiting: web is not there'])

  const { generation } = (await admin.create<KubeObject>(deployments, manifest)).metadata
  await admin.create<KubeObject>(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, labels },
    spec: template.spec,
  } as KubeObject)
  const waitingFor = { reason: 'ImagePullBackOff', message: 'Back-off pulling image "web:1"' }
  await status(pods, 'web', {
    containerStatuses: [
      { name: 'web', image: 'web:1', imageID: '', ready: false, restartCount: 0, state: { waiting: waitingFor } },
    ],
  })
  await expect
    .poll(() => said.at(-1), soon)
    .toBe('waiting: web has 0 of 2 available (ImagePullBackOff: Back-off pulling image "web:1")')

  // As many as wanted, but one is of the version before.
  const three = { observedGeneration: generation, replicas: 3, updatedReplicas: 2, availableReplicas: 3 }
  await status(deployments, 'web', three)
  await expect.poll(() => said.at(-1), soon).toBe('waiting: web still has 1 of the last version')
  await status(deployments, 'web', { ...three, replicas: 2, availableReplicas: 2 })
  await waiting
})

test('waiting ends with a sentence that says what was missing', async () => {
  await expect(
    untilReady(cluster.admin, [{ ...manifest, metadata: { ...metadata, name: 'none' } }], 0, () => {}),
  ).rejects.toMatchObject({
    code: 'timeout',
    message: 'not ready after 0 s: none is not there',
  })
})
