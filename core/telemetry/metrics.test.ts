import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { counter, createLogger, gauge, histogram, serveMetrics } from './index.ts'

const log = createLogger('test')
log.level = 'silent'
const calls = counter('test_calls_total', 'Calls.', ['tool'])
const depth = gauge('test_depth', 'How many wait.', ['queue'])
const lasting = histogram('test_seconds', 'How long.', { buckets: [0.5, 1] })

let base: string
let close: () => void

beforeAll(async () => {
  calls.add({ tool: 'before' })
  const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, log)
  if (!server) throw new Error('no server')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  close = () => server.close()
})
afterAll(() => close())

async function samples(prefix: string): Promise<string[]> {
  const text = await (await fetch(`${base}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(prefix))
}

test('what happens is counted from the moment on at which it is served', async () => {
  calls.add({ tool: 'exec' })
  calls.add({ tool: 'exec' }, 2)
  expect(await samples('test_calls_total')).toEqual(['test_calls_total{tool="exec"} 3'])
})

test('a gauge is read when it is asked for, added up over who watches, and gone with the last of them', async () => {
  let waiting = 1
  const stops = [depth.watch({ queue: 'runs' }, () => waiting), depth.watch({ queue: 'runs' }, () => 10)]
  expect(await samples('test_depth')).toEqual(['test_depth{queue="runs"} 11'])
  waiting = 2
  expect(await samples('test_depth')).toEqual(['test_depth{queue="runs"} 12'])
  for (const stop of stops) stop()
  expect(await samples('test_depth')).toEqual([])
})

test('a histogram counts into its buckets', async () => {
  lasting.observe({}, 0.7)
  lasting.time()({})
  expect(await samples('test_seconds_bucket')).toEqual([
    'test_seconds_bucket{le="0.5"} 1',
    'test_seconds_bucket{le="1"} 2',
    'test_seconds_bucket{le="+Inf"} 2',
  ])
})

test('the process itself is measured too, and nothing else is served there', async () => {
  expect(await samples('process_resident_memory_bytes')).toHaveLength(1)
  expect((await fetch(`${base}/healthz`)).status).toBe(404)
  expect((await fetch(`${base}/metrics`, { method: 'POST' })).status).toBe(404)
})

test('a name means one thing', () => {
  expect(() => counter('test_calls_total', 'Others.')).toThrow('defined twice')
})

test('without an address there is nothing', async () => {
  expect(await serveMetrics(undefined, log)).toBeUndefined()
})
