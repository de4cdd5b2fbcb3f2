import { afterEach, expect, it, vi } from 'vitest'
import { type ClawInstance, clawInstances } from '#core/kinds'
import { jobs, keyOf, pods } from '#core/kube'
import { createLogger } from '#core/telemetry'
import { createCaches } from '../caches.ts'
import { FileRoom } from '../channels/file-room.ts'
import { PinnedSkills } from '../packs/pinned.ts'
import {
  admin,
  bus,
  createInstance,
  createRun,
  kubelet,
  read,
  stopManager,
  untilJob,
  useController,
  wait,
} from '../testing/rig.test-support.ts'
import { type RunCaches, RunReconciler } from './reconciler.ts'
import { RunRecords } from './record.ts'

useController()

/** A reconciler that acts when the test tells it to, and sees of the API what the test has it see. */
async function reconcilerThatSees(shown: (keyof RunCaches)[]) {
  const { metadata } = await createInstance()
  const phase = async () => (await admin.get<ClawInstance>(clawInstances, metadata)).status?.phase
  await expect.poll(phase, wait).toBe('Ready')
  await stopManager()
  const log = createLogger('test')
  log.level = 'silent'
  const stop = new AbortController()
  const caches = createCaches(admin, log)
  const clock = { now: Date.now() }
  const reconciler = new RunReconciler({
    kube: admin,
    caches,
    records: new RunRecords(bus, stop.signal),
    room: new FileRoom({ bus, runs: caches.runs, toldBefore: () => undefined }),
    skills: new PinnedSkills({ kube: admin, caches }),
    platform: { isolation: 'bubblewrap', allowUnconfined: false, images: { agent: 'agent', sandbox: 'sandbox' } },
    settings: { bridgeImage: 'bridge', identityUrl: 'http://i', gatewayUrl: 'http://g', busUrl: 'nats://b' },
    systemNamespace: 'k8sclaw-system',
    log,
    now: () => new Date(clock.now),
  })
  const informers = shown.map((name) => caches[name])
  const running = informers.map((informer) => informer.run(stop.signal))
  close = async () => {
    stop.abort()
    await Promise.all(running)
  }
  await Promise.all(informers.map((informer) => informer.synced()))
  return { reconciler, caches, clock }
}

let close = async () => {}
afterEach(() => close())

it('makes the Job of a run once, though its cache shows it late, and looks again where it never comes', async () => {
  // The cache of Jobs is never filled.
  const { reconciler, caches, clock } = await reconcilerThatSees(['runs', 'instances'])
  const run = await createRun('late')
  await expect.poll(() => caches.runs.get(keyOf(run)), wait).toBeDefined()
  const creations = vi.spyOn(admin, 'create')
  const made = () => creations.mock.calls.filter(([resource]) => resource === jobs).length

  await reconciler.reconcile(keyOf(run))
  expect((await read(run)).status).toMatchObject({ phase: 'Running' })
  expect(await kubelet.jobOf(run)).toBeDefined()
  expect(await reconciler.reconcile(keyOf(run))).toMatchObject({ requeueAfterMs: expect.any(Number) as number })
  expect(made()).toBe(1)
  clock.now += 60_000
  await reconciler.reconcile(keyOf(run))
  expect(made()).toBe(2)
  creations.mockRestore()
})

it('tells of what a run died though its pod was gone before it came to look', async () => {
  const { reconciler, caches } = await reconcilerThatSees(['runs', 'instances', 'jobs', 'pods'])
  const run = await createRun('brief')
  await expect.poll(() => caches.runs.get(keyOf(run)), wait).toBeDefined()
  await reconciler.reconcile(keyOf(run))
  const pod = await kubelet.createPod(await untilJob(run))
  await kubelet.running(pod)
  const cached = () => caches.pods.byIndex('run', run.metadata.uid ?? '')[0]
  await expect.poll(() => cached()?.status?.phase, wait).toBe('Running')
  await expect.poll(() => caches.jobs.byIndex('run', run.metadata.uid ?? ''), wait).toHaveLength(1)
  await reconciler.reconcile(keyOf(run))
  expect((await read(run)).status).toMatchObject({ podName: pod.metadata.name })

  await kubelet.ended(pod, 137, { reason: 'OOMKilled' })
  await admin.delete(pods, pod.metadata)
  await expect.poll(cached, wait).toBeUndefined()
  await reconciler.reconcile(keyOf(run))
  expect((await read(run)).status).toMatchObject({ phase: 'Failed', reason: 'OOMKilled', exitCode: 137 })
})
