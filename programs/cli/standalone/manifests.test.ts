import { afterAll, beforeAll, expect, test } from 'vitest'
import { jobs } from '#core/kube'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import type { Manifest } from '../manifest-file.ts'
import { apply } from './manifests.ts'

let cluster: TestCluster
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster?.close())

const job = (arg: string, labels: Record<string, string> = {}) =>
  ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'keys', namespace: 'default', labels },
    spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i', args: [arg] }] } } },
  }) as unknown as Manifest

test('a Job that another version changed is replaced, one that is the same stays, and labels are merged', async () => {
  const applied = async (manifest: Manifest) => {
    await apply(cluster.api.client, manifest)
    return await cluster.admin.get(jobs, { namespace: 'default', name: 'keys' })
  }
  const first = await applied(job('one'))
  expect((await applied(job('one'))).metadata.uid).toBe(first.metadata.uid)
  const labelled = await applied(job('one', { a: 'b' }))
  expect(labelled.metadata).toMatchObject({ uid: first.metadata.uid, labels: { a: 'b' } })
  const second = await applied(job('two'))
  expect(second.metadata.uid).not.toBe(first.metadata.uid)
  expect(second).toMatchObject({ spec: { template: { spec: { containers: [{ args: ['two'] }] } } } })
})
