import { createServer, type Server } from 'node:http'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import type { Kube } from './client.ts'
import { whileLeading } from './leader.ts'
import type { Lease } from './lease.ts'
import { connectKube } from './load.ts'
import { configMaps, leases } from './resources.ts'

const log = createLogger('test')
log.level = 'silent'
const times = { leaseMs: 2_000, renewMs: 1_000, retryMs: 100 }
const wait = { timeout: 10_000, interval: 20 }

let cluster: TestCluster
let account: Kube
beforeAll(async () => {
  cluster = await startCluster()
  account = await cluster.as('k8sclaw-system', 'k8sclaw-controller')
})
afterAll(() => cluster.close())
const at = { name: 'k8sclaw-controller', namespace: 'k8sclaw-system' }
beforeEach(async () => {
  await cluster.admin.delete(leases, at).catch(() => {})
})
const holder = async () => (await cluster.admin.get<Lease>(leases, at)).spec?.holderIdentity

/** A candidate whose work lasts until it is stopped, or for ever. */
function candidate(identity: string, kube = account) {
  const stopping = new AbortController()
  const state = { leads: false, standsBy: false, client: kube }
  const ended = whileLeading(
    {
      ...{ kube, identity, times, log, lease: at, signal: stopping.signal },
      onStandby: () => {
        state.standsBy = true
      },
    },
    async (client) => {
      state.leads = true
      state.client = client
      await new Promise<void>((resolve) => stopping.signal.addEventListener('abort', () => resolve(), { once: true }))
      state.leads = false
    },
  )
  ended.catch(() => {})
  return { state, ended, stop: () => stopping.abort() }
}

describe('a replica', () => {
  it('leads alone, gives the lease back at its end, and the next one begins at once', async () => {
    const first = candidate('first')
    await expect.poll(() => first.state.leads, wait).toBe(true)
    const second = candidate('second')
    await expect.poll(() => second.state.standsBy, wait).toBe(true)
    const before = await cluster.admin.get<Lease>(leases, at)
    await vi.waitFor(async () => {
      const now = await cluster.admin.get<Lease>(leases, at)
      expect(now.spec?.renewTime).not.toBe(before.spec?.renewTime)
    }, wait)
    expect(second.state.leads).toBe(false)
    first.stop()
    await first.ended
    await expect.poll(() => second.state.leads, wait).toBe(true)
    expect(await holder()).toBe('second')
    expect((await cluster.admin.get<Lease>(leases, at)).spec?.leaseTransitions).toBeGreaterThan(0)
    second.stop()
    await second.ended
    expect(await holder()).toBe('')
  })

  it('takes up at once the lease that its dead predecessor of the same name held', async () => {
    const dead = await account.create<Lease>(leases, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: at,
      spec: { holderIdentity: 'pod-1', leaseDurationSeconds: 3600 },
    })
    const successor = candidate('pod-1')
    await expect.poll(() => successor.state.leads, wait).toBe(true)
    expect(dead.spec?.holderIdentity).toBe('pod-1')
    successor.stop()
    await successor.ended
  })

  it('gives up at once when another holds the lease', async () => {
    const first = candidate('first')
    await expect.poll(() => first.state.leads, wait).toBe(true)
    await cluster.admin.patch(leases, at, { spec: { holderIdentity: 'usurper' } })
    await expect(first.ended).rejects.toMatchObject({ code: 'fenced' })
    expect(await holder()).toBe('usurper')
  })

  it('puts a lease back that somebody deleted under it', async () => {
    const first = candidate('first')
    await expect.poll(() => first.state.leads, wait).toBe(true)
    await cluster.admin.delete(leases, at)
    await expect.poll(() => holder().catch(() => ''), wait).toBe('first')
    expect(first.state.leads).toBe(true)
    first.stop()
    await first.ended
  })
})

describe('a leader that loses its API server', () => {
  let proxy: Server
  let cut = false
  let through: Kube
  beforeAll(async () => {
    const { hostname, port } = new URL(cluster.api.url)
    proxy = createServer((incoming, response) => {
      // Silence, not refusal: the worst that a network does.
      if (cut) return
      const options = { hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers }
      const onward = request({ ...options, ca: cluster.api.caPem }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
      incoming.pipe(onward)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const { token } = await cluster.api.client.mintToken({ namespace: at.namespace, name: 'k8sclaw-controller' })
    through = connectKube({ server: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, token })
  })
  afterAll(() => {
    proxy.closeAllConnections()
    proxy.close()
  })

  it('ends before another may lead, and its client writes nothing any more', async () => {
    const lost = candidate('lost', through)
    await expect.poll(() => lost.state.leads, wait).toBe(true)
    const other = candidate('other')
    cut = true
    await expect(lost.ended).rejects.toMatchObject({ code: 'fenced' })
    expect(other.state.leads).toBe(false)
    cut = false
    const write = lost.state.client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'late', namespace: at.namespace },
    })
    await expect(write).rejects.toMatchObject({ code: 'fenced' })
    await lost.state.client.get(leases, at)
    await expect.poll(() => other.state.leads, wait).toBe(true)
    other.stop()
    await other.ended
  })
})
