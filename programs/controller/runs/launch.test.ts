import { afterEach, expect, it, vi } from 'vitest'
import { type ClawInstance, clawInstances } from '#core/kinds'
import { jobs, keyOf } from '#core/kube'
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
  useController,
  wait,
} from '../testing/rig.test-support.ts'
import { RunReconciler } from './reconciler.ts'
import { RunRecords } from './record.ts'

useController()

const stop = new AbortController()
afterEach(() => stop.abort())

it('makes the Job of a run once, though its cache shows it late, and looks again where it never comes', async () => {
  const { metadata } = await createInstance()
  const phase = async () => (await admin.get<ClawInstance>(clawInstances, metadata)).status?.phase
  await expect.poll(phase, wait).toBe('Ready')
  await stopManager()
  const run = await createRun('late')
  const log = createLogger('test')
  log.level = 'silent'
  const caches = createCaches(admin, log)
  let now = Date.now()
  const reconciler = new RunReconciler({
    kube: admin,
    caches,
    records: new RunRecords(bus, stop.signal),
    room: new FileRoom({ bus, runs: caches.runs }),
    skills: new PinnedSkills({ kube: admin, caches }),
    platform: { isolation: 'bubblewrap', allowUnconfined: false, images: { agent: 'agent', sandbox: 'sandbox' } },
    settings: { bridgeImage: 'bridge', identityUrl: 'http://i', gatewayUrl: 'http://g', busUrl: 'nats://b' },
    systemNamespace: 'k8sclaw-system',
    log,
    now: () => new Date(now),
  })
  // The cache of Jobs is never filled.
  const running = [caches.runs, caches.instances].map((informer) => informer.run(stop.signal))
  await Promise.all([caches.runs.synced(), caches.instances.synced()])
  const creations = vi.spyOn(admin, 'create')
  const made = () => creations.mock.calls.filter(([resource]) => resource === jobs).length

  await reconciler.reconcile(keyOf(run))
  expect((await read(run)).status).toMatchObject({ phase: 'Running' })
  expect(await kubelet.jobOf(run)).toBeDefined()
  expect(await reconciler.reconcile(keyOf(run))).toMatchObject({ requeueAfterMs: expect.any(Number) as number })
  expect(made()).toBe(1)
  now += 60_000
  await reconciler.reconcile(keyOf(run))
  expect(made()).toBe(2)
  creations.mockRestore()
  stop.abort()
  await Promise.all(running)
})
