import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, recordedRuns } from '#core/bus'
import type { ChannelAddress, RunAddress } from '#core/identity'
import { followOutcomes } from '#core/journal'
import { type Kube, type ReconcileResult, runController, WorkQueue } from '#core/kube'
import type { Platform } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { type Caches, createCaches } from './caches.ts'
import type { CanarySettings } from './canary/job.ts'
import { CanaryReconciler } from './canary/reconciler.ts'
import { FileRoom } from './channels/file-room.ts'
import { routeChannels } from './channels/route-channels.ts'
import { ChannelKeeper } from './instances/channels.ts'
import { HealthBoard } from './instances/health-board.ts'
import { InstanceReconciler } from './instances/reconciler.ts'
import { observeRuns } from './metrics.ts'
import { PinnedSkills } from './packs/pinned.ts'
import { PackReconciler } from './packs/reconciler.ts'
import { PolicyReconciler } from './policies/reconciler.ts'
import type { ChannelSettings } from './resources/channel.ts'
import { fileRoomOf, type JobSettings } from './resources/job.ts'
import type { ExternalBus } from './resources/network-policy.ts'
import { type Queues, route } from './route.ts'
import { OutcomeDesk } from './runs/outcome-desk.ts'
import { RunReconciler } from './runs/reconciler.ts'
import { RunRecords } from './runs/record.ts'

export interface ManagerOptions {
  kube: Kube
  bus: Bus
  systemNamespace: string
  platform: Platform
  settings: JobSettings
  /** The program of each chat service. */
  channelImages: ChannelSettings['images']
  canary: CanarySettings
  /** Where the bus is, if it is not in the cluster. */
  externalBus?: ExternalBus | undefined
  log: Logger
  signal: AbortSignal
  /** How long a pod may take to start its agent, milliseconds; default five minutes. */
  startDeadlineMs?: number | undefined
  /** How long a record may be without its run before it is taken for an orphan, milliseconds; default 30 s. */
  suspectMs?: number
  /** Called once everything has been seen once and work begins. */
  onReady?: () => void
}

/** What channels say is taken up at most this often. */
const healthDebounceMs = 1000
/** How often to look for records of runs that were deleted while nobody watched. */
const sweepMs = 10 * 60_000
const retryMs = 1000

/** Runs the controllers of the four kinds until the signal aborts. */
export async function runManager(options: ManagerOptions): Promise<void> {
  const { kube, bus, platform, settings, systemNamespace, startDeadlineMs, log, signal } = options
  const caches = createCaches(kube, log)
  const informers: { run(signal: AbortSignal): Promise<void>; synced(): Promise<void> }[] = Object.values(caches)
  const watching = informers.map((informer) => informer.run(signal))
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await Promise.race([Promise.all(informers.map((informer) => informer.synced())), aborted])
  if (signal.aborted) return

  const records = new RunRecords(bus, signal)
  const queues = {
    runs: new WorkQueue(),
    instances: new WorkQueue(),
    packs: new WorkQueue(),
    policies: new WorkQueue(),
    /** Names of namespaces. */
    canaries: new WorkQueue(),
    /** Addresses of deleted runs, as JSON. */
    purges: new WorkQueue(),
    /** Addresses of channels that are no more, as JSON. */
    channels: new WorkQueue(),
  }
  const skills = new PinnedSkills({ kube, caches })
  const room = new FileRoom({
    bus,
    runs: caches.runs,
    toldBefore: ({ metadata }) => caches.jobs.byIndex('run', metadata.uid ?? '').map(fileRoomOf)[0],
  })
  const runs = new RunReconciler({
    kube,
    caches,
    records,
    room,
    skills,
    platform,
    settings,
    systemNamespace,
    startDeadlineMs,
    log,
  })
  const desk = new OutcomeDesk(caches.runs, queues.runs, (uid, outcome) => runs.take(uid, outcome), signal)
  const tenant = { systemNamespace, externalBus: options.externalBus }
  const health = new HealthBoard({
    bus,
    log,
    signal,
    onWord: ({ namespace, instance }) => queues.instances.addAfter(`${namespace}/${instance}`, healthDebounceMs),
  })
  const channels = new ChannelKeeper({ kube, bus, caches, health, settings: channelSettings(options) })
  const instances = new InstanceReconciler({ kube, caches, channels, skills, tenant, platform })
  const policies = new PolicyReconciler({ kube, bus, caches })
  const canaries = new CanaryReconciler({ kube, caches, platform, systemNamespace, settings: options.canary, log })
  const packs = new PackReconciler({ kube, caches })
  route(caches, queues)
  const unobserve = observeRuns(caches.runs)
  options.onReady?.()

  const control = (name: keyof Queues, workers: number, reconcile: (key: string) => Promise<ReconcileResult>) =>
    runController({ name, queue: queues[name], reconcile, workers, signal, log })
  await Promise.all([
    control('runs', 16, (key) => runs.reconcile(key)),
    control('instances', 2, (key) => instances.reconcile(key)),
    control('packs', 2, (key) => packs.reconcile(key)),
    control('policies', 1, (key) => policies.reconcile(key)),
    control('canaries', 1, (namespace) => canaries.reconcile(namespace)),
    control('purges', 4, (key) => records.forget(JSON.parse(key) as RunAddress)),
    control('channels', 1, (key) => channels.forgetUnlessThere(JSON.parse(key) as ChannelAddress)),
    follow(options, desk),
    routeChannels({ kube, bus, caches, room, log, signal }),
    health.follow(),
    sweepChannels(options, channels, queues.channels),
    keepPolicies(options, policies, queues.policies),
    sweep(options, caches, queues.purges),
    ...watching,
  ])
  unobserve()
}

function channelSettings({ settings, channelImages, systemNamespace, externalBus }: ManagerOptions): ChannelSettings {
  const { busUrl, identityUrl } = settings
  return {
    images: channelImages,
    busUrl,
    identityUrl,
    systemNamespace,
    externalBus,
    // Read for each channel: a bundle that grows reaches them all.
    get caPem() {
      return settings.caPem
    },
  }
}

/** Follows the outcomes for as long as the signal lets, also through a bus that is away at the start. */
async function follow({ bus, signal, log }: ManagerOptions, desk: OutcomeDesk): Promise<void> {
  while (!signal.aborted) {
    try {
      const options = { durable: 'controller-outcomes', signal, parallel: 64 }
      await followOutcomes(bus, options, (run, outcome) => desk.handle(run, outcome))
    } catch (err) {
      if (signal.aborted) return
      log.warn({ err }, 'outcomes not followed')
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }
}

/**
 * Has every policy looked at again, at the start, now and then, and when the bus is back: what was deleted while nobody
 * watched is known by the bus alone, and a bus may come back with less than it had.
 */
async function keepPolicies({ bus, log, signal }: ManagerOptions, policies: PolicyReconciler, queue: WorkQueue) {
  while (!signal.aborted) {
    const back = Promise.withResolvers<void>()
    const forget = bus.onReconnect(() => back.resolve())
    const known = await policies.everyKey().catch((err: unknown) => {
      log.warn({ err }, 'policies not swept')
    })
    for (const key of known ?? []) queue.add(key)
    const again = sleep(known ? sweepMs : retryMs, undefined, { signal }).catch(() => {})
    await Promise.race([again, back.promise])
    forget()
  }
}

/**
 * Forgets the records of runs that were deleted while no controller was there to see it. Whoever is recorded and not
 * in the cache is asked for once more in the next round: the run may only have been too new for the cache.
 */
async function sweep(
  { bus, log, signal, suspectMs = 30_000 }: ManagerOptions,
  caches: Caches,
  purges: WorkQueue,
): Promise<void> {
  let suspects = new Set<string>()
  while (!signal.aborted) {
    const recorded = await recordedRuns(bus).catch((err: unknown) => {
      log.warn({ err }, 'records not swept')
      return []
    })
    const unknown = recorded.filter((run) => caches.runs.byIndex('uid', run.uid).length === 0)
    const orphans = unknown.filter((run) => suspects.has(run.uid))
    for (const run of orphans) purges.add(JSON.stringify(run))
    suspects = new Set(unknown.map((run) => run.uid))
    const again = suspects.size > orphans.length ? suspectMs : sweepMs
    await sleep(again, undefined, { signal }).catch(() => {})
  }
}

/** Forgets what the bus holds of channels that were removed while no controller was there to see it. */
async function sweepChannels(
  { signal, suspectMs = 30_000 }: ManagerOptions,
  channels: ChannelKeeper,
  queue: WorkQueue,
) {
  for (let pause = suspectMs; !signal.aborted; pause = sweepMs) {
    await sleep(pause, undefined, { signal }).catch(() => {})
    for (const channel of signal.aborted ? [] : channels.orphans()) queue.add(JSON.stringify(channel))
  }
}
