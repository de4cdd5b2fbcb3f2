import { afterAll, beforeAll, expect, test } from 'vitest'
import { startMetrics, type TestMetrics } from '../../test/support/metrics.ts'
import {
  bridgeEnds,
  createInstance,
  createRun,
  namespace,
  startPod,
  stopManager,
  until,
  useController,
  wait,
} from './testing/rig.test-support.ts'

let metrics: TestMetrics
// Before the controller of the first test, whose counts it is to have.
beforeAll(async () => {
  metrics = await startMetrics()
})
useController()
afterAll(() => metrics.close())

const runs = async () => {
  const all = await metrics.values('k8sclaw_runs{')
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count > 0))
}

test('runs are counted by the phase they are in, and once by how they ended; by the replica that reconciles', async () => {
  expect(await metrics.values('k8sclaw_controller_leading')).toEqual({ '': 1 })
  await createInstance()
  const done = await createRun('done')
  await startPod(done)
  const killed = await createRun('killed')
  await startPod(killed)
  const waiting = await createRun('waiting')
  await until(waiting, { phase: 'Pending', reason: 'Queued' })
  const refused = await createRun('refused', { agent: 'nobody' })
  await until(refused, { phase: 'Failed' })
  await expect.poll(runs, wait).toEqual({ 'phase="Running"}': 2, 'phase="Pending"}': 1, 'phase="Failed"}': 1 })

  await bridgeEnds(done)
  await until(done, { phase: 'Succeeded' })
  await bridgeEnds(killed, { phase: 'TimedOut', reason: 'DeadlineExceeded', result: undefined, error: 'too long' })
  await until(killed, { phase: 'TimedOut' })
  await until(waiting, { phase: 'Running' })
  await expect
    .poll(() => metrics.values('k8sclaw_runs_ended_total'), wait)
    .toEqual({
      '{phase="Succeeded",reason="Completed"}': 1,
      '{phase="TimedOut",reason="DeadlineExceeded"}': 1,
      '{phase="Failed",reason="other"}': 1,
    })
  await expect
    .poll(runs, wait)
    .toEqual({ 'phase="Running"}': 1, 'phase="Succeeded"}': 1, 'phase="TimedOut"}': 1, 'phase="Failed"}': 1 })
  expect(await metrics.values('k8sclaw_run_pending_seconds_count')).toEqual({ '': 3 })
  expect(await metrics.values('k8sclaw_run_seconds_count')).toEqual({
    '{phase="Succeeded"}': 1,
    '{phase="TimedOut"}': 1,
  })
  const reconciled = await metrics.values('k8sclaw_reconcile_seconds_count')
  expect(Object.keys(reconciled).join()).not.toContain(namespace)
  expect(reconciled['{queue="runs",result="done"}']).toBeGreaterThan(4)
  await stopManager()
  expect(await metrics.values('k8sclaw_controller_leading')).toEqual({})
  expect(await metrics.values('k8sclaw_runs{')).toEqual({})
})
