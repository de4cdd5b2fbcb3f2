import { afterAll, beforeAll, expect, test } from 'vitest'
import { runSubjects } from '#core/identity'
import { startMetrics, type TestMetrics } from '../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { type Bus, ensureStreams, publish } from './index.ts'

const patient = { timeout: 20_000 }
const subjects = runSubjects({ namespace: 'red', instance: 'bot', uid: 'counted' })

let metrics: TestMetrics
let nats: TestNats
let bus: Bus
beforeAll(async () => {
  metrics = await startMetrics()
  nats = await startNats()
  bus = await nats.connect({ kind: 'controller' })
  await ensureStreams(bus)
})
afterAll(() => Promise.all([nats?.close(), metrics.close()]))

test('what is published is counted by what it is and what came of it', async () => {
  const published = () => metrics.values('k8sclaw_bus_publish_seconds_count')
  const before = await published()
  await publish(bus, subjects.in, {}, { id: 'one' })
  await publish(bus, subjects.in, {}, { id: 'one' })
  await publish(bus, subjects.in, {}, { id: 'two' })
  await publish(bus, subjects.outcome, {}, { id: 'end', expectedLast: 0 })
  await expect(publish(bus, subjects.outcome, {}, { id: 'other', expectedLast: 0 })).rejects.toThrow()
  await expect(publish(bus, subjects.journal, {}, { id: 'x' })).rejects.toMatchObject({ code: 'forbidden' })
  expect(await published()).toEqual({
    ...before,
    '{kind="in",result="stored"}': 2,
    '{kind="in",result="duplicate"}': 1,
    '{kind="outcome",result="stored"}': 1,
    '{kind="outcome",result="fenced"}': 1,
    '{kind="journal",result="forbidden"}': 1,
  })
})

test('a connection is there or not, and counted when it comes back', async () => {
  const connected = () => metrics.values('k8sclaw_bus_connected')
  const reconnects = () => metrics.values('k8sclaw_bus_reconnects_total')
  expect([await connected(), await reconnects()]).toEqual([{ '': 1 }, { '': 0 }])
  await nats.kill9()
  await expect.poll(connected, patient).toEqual({ '': 0 })
  await nats.restart()
  await expect.poll(connected, patient).toEqual({ '': 1 })
  await expect.poll(reconnects, patient).toEqual({ '': 1 })
  await bus.close()
  expect(await connected()).toEqual({})
})
