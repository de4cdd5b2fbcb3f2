import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ClawError } from '#core/errors'
import { createLogger } from '#core/telemetry'
import { startMetrics, type TestMetrics } from '../../test/support/metrics.ts'
import { runController } from './controller.ts'
import { connectKube } from './load.ts'
import { WorkQueue } from './queue.ts'
import { configMaps } from './resources.ts'

const patient = { timeout: 20_000 }
const log = createLogger('test')
log.level = 'silent'

let metrics: TestMetrics
beforeAll(async () => {
  metrics = await startMetrics()
})
afterAll(() => metrics.close())

test('keys that wait are counted while they do, and reconciles by how they ended', async () => {
  const queue = new WorkQueue({ baseMs: 1, maxMs: 2 })
  const stop = new AbortController()
  const gate = Promise.withResolvers<void>()
  const before: Record<string, unknown[]> = {
    broken: [new Error('broken'), new ClawError('unavailable', 'away')],
    late: [new ClawError('conflict', 'late')],
    wrong: [new ClawError('invalid', 'wrong')],
  }
  const reconcile = async (key: string) => {
    await gate.promise
    const error = before[key]?.shift()
    if (error) throw error
  }
  const running = runController({ name: 'things', queue, reconcile, workers: 1, signal: stop.signal, log })
  for (const key of ['fine', 'broken', 'late', 'wrong']) queue.add(key)
  await expect.poll(() => metrics.values('k8sclaw_queue_depth'), patient).toEqual({ '{queue="things"}': 3 })
  gate.resolve()
  await expect
    .poll(() => metrics.values('k8sclaw_reconcile_seconds_count'), patient)
    .toEqual({
      '{queue="things",result="done"}': 3,
      '{queue="things",result="failed"}': 2,
      '{queue="things",result="conflict"}': 1,
      '{queue="things",result="stopped"}': 1,
    })
  expect(await metrics.values('k8sclaw_queue_retries_total')).toEqual({ '{queue="things"}': 3 })
  expect(await metrics.values('k8sclaw_queue_depth')).toEqual({ '{queue="things"}': 0 })
  stop.abort()
  await running
  expect(await metrics.values('k8sclaw_queue_depth')).toEqual({})
})

test('requests to Kubernetes are counted by the status of their answer, also where none comes', async () => {
  const server = createServer((request, response) => {
    if (request.url?.endsWith('/cut')) request.socket.destroy()
    else if (request.url?.endsWith('/gone'))
      response.writeHead(404).end('{"kind":"Status","reason":"NotFound","code":404}')
    else response.end('{"metadata":{"name":"a"}}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const kube = connectKube({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 'mine' })
  await kube.get(configMaps, { name: 'a' })
  await kube.get(configMaps, { name: 'a' })
  expect(await kube.find(configMaps, { name: 'gone' })).toBeUndefined()
  await kube.delete(configMaps, { name: 'a' })
  await expect(kube.get(configMaps, { name: 'cut' })).rejects.toMatchObject({ code: 'unavailable' })
  kube.close()
  server.closeAllConnections()
  server.close()
  expect(await metrics.values('k8sclaw_kubernetes_requests_total')).toEqual({
    '{method="GET",status="200"}': 2,
    '{method="GET",status="404"}': 1,
    '{method="GET",status="0"}': 1,
    '{method="DELETE",status="200"}': 1,
  })
  expect(await metrics.values('k8sclaw_kubernetes_request_seconds_count')).toEqual({
    '{method="GET"}': 4,
    '{method="DELETE"}': 1,
  })
})
