/** The platform on a real node, as `make deploy` puts it there. The tests follow one another on one cluster. */
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AgentRun } from '#core/kinds'
import { channels } from './channels.ts'
import { startTestCluster, type TestCluster } from './cluster.ts'
import { conversations } from './conversations.ts'
import { disruptions } from './disruptions.ts'
import { endings } from './endings.ts'
import { isolation } from './isolation.ts'

let cluster: TestCluster

beforeAll(async () => {
  cluster = await startTestCluster()
  cluster.make('deploy')
})
afterAll(() => cluster?.close())

describe('config/samples', () => {
  it('is a run that Succeeded', async () => {
    await cluster.kubectl(['apply', '-f', resolve(import.meta.dirname, '../../config/samples')])
    await expect
      .poll(async () => (await cluster.getJson<AgentRun>('get', 'agentrun', 'sample')).status?.phase, {
        timeout: 120_000,
        interval: 500,
      })
      .toBe('Succeeded')
  })
})

conversations(() => cluster)
isolation(() => cluster)
channels(() => cluster)
endings(() => cluster)
disruptions(() => cluster)

describe('make undeploy', () => {
  it('leaves nothing, though runs are there', async () => {
    cluster.make('undeploy')
    const kinds = ['namespaces', 'crds', 'clusterroles', 'clusterrolebindings', 'persistentvolumeclaims', 'leases']
    const configurations = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']
    const tenants = ['jobs', 'pods', 'networkpolicies', 'serviceaccounts', 'rolebindings', 'configmaps']
    const all = [...kinds, ...configurations, ...tenants].join()
    const left = async () => (await cluster.kubectl(['get', all, '-A', '-o', 'name'])).split('\n')
    await expect
      .poll(async () => (await left()).filter((name) => name.includes('claw')), { timeout: 60_000 })
      .toEqual([])
  })
})
