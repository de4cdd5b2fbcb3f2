import { randomBytes } from 'node:crypto'
import { ClawError, errorMessage, isClawError } from '#core/errors'
import type { Outcome } from '#core/journal'
import {
  type AgentRun,
  agentRuns,
  type ClawInstance,
  type ClawPolicy,
  type Effective,
  isTerminal,
  type SkillPack,
} from '#core/kinds'
import {
  type ConfigMap,
  controllerOf,
  createOrAdopt,
  type Informer,
  isOwnedBy,
  type Job,
  jobs,
  type Kube,
  keyOf,
  type Pod,
  pods,
  type ReconcileResult,
} from '#core/kube'
import type { Platform } from '#core/policy'
import type { Logger } from '#core/telemetry'
import type { FileRoom } from '../channels/file-room.ts'
import { turnOf } from '../channels/turn.ts'
import type { PinnedSkills } from '../packs/pinned.ts'
import { addressOfRun, buildJob, type JobSettings, jobName, runUidLabel } from '../resources/job.ts'
import { Arrivals, Claims, instanceKeyOf } from './capacity.ts'
import { type Ending, failed, type Stuck } from './ending.ts'
import { HostTable } from './hosts.ts'
import { decideOver } from './over.ts'
import { decidePending, type Gathered, type PendingStep } from './pending.ts'
import { endReasons } from './reasons.ts'
import type { RunRecords } from './record.ts'
import { decideRunning, isStarted, podExpectedMs, type RunningStep, usualStartDeadlineMs, waitedMs } from './running.ts'
import {
  changes,
  finishedStatus,
  type StatusPatch,
  startedStatus,
  startingStatus,
  stuckStatus,
  waitingStatus,
} from './status.ts'
import { taskMessage } from './task.ts'
import { whyNoPod } from './trouble.ts'

/** How soon a Job that was forbidden is tried again. */
const launchRetryMs = 10_000
/** How long a Job that was just made may take to come to the cache. */
const jobSeenMs = 5_000

/** The caches that a run's decisions read. */
export interface RunCaches {
  /** With the index `instance`. */
  runs: Informer<AgentRun>
  instances: Informer<ClawInstance>
  policies: Informer<ClawPolicy>
  packs: Informer<SkillPack>
  /** With the index `run`: uid of the AgentRun. */
  jobs: Informer<Job>
  /** With the index `run`: uid of the AgentRun. */
  pods: Informer<Pod>
}

export interface RunReconcilerOptions {
  kube: Kube
  caches: RunCaches
  records: RunRecords
  room: FileRoom
  skills: Pick<PinnedSkills, 'copyOf'>
  platform: Platform
  settings: JobSettings
  systemNamespace: string
  /** How long a pod may take to start its agent, milliseconds; default five minutes. */
  startDeadlineMs?: number | undefined
  log: Logger
  now?: () => Date
}

/**
 * Brings one AgentRun nearer to its end, each time from what is there and never from what it did last. Every status
 * patch carries the resourceVersion it was decided on, so a decision from a stale cache writes nothing.
 */
export class RunReconciler {
  readonly #options: RunReconcilerOptions
  readonly #claims = new Claims()
  readonly #arrivals = new Arrivals()
  /** Outcomes that are not in a status yet, by uid of the run. */
  readonly #outcomes = new Map<string, Outcome>()
  readonly #cancelSentAt = new Map<string, Date>()
  readonly #released = new Set<string>()
  /** The last that was seen of the pod of a run that is gone, by uid of the run, as long as the run has no outcome. */
  readonly #gonePods = new Map<string, Pod>()
  /** Why the Job of a run could not be created, by uid of the run. */
  readonly #refused = new Map<string, Stuck>()
  /** When the Job of a run was made, by uid of the run, until the cache shows it: it would be made, and refused, again. */
  readonly #launchedAt = new Map<string, Date>()
  /** Where runs have no DNS. */
  readonly #hosts: HostTable | undefined
  /** The newest version of a run that this process wrote, until the cache shows it. */
  readonly #written = new Map<string, { from: string | undefined; run: AgentRun }>()
  readonly #now: () => Date

  constructor(options: RunReconcilerOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
    const { kube, settings, systemNamespace } = options
    const urls = [settings.busUrl, settings.gatewayUrl, settings.identityUrl]
    this.#hosts =
      options.platform.isolation === 'kubernetes' ? new HostTable({ kube, systemNamespace, urls }) : undefined
    const { runs, jobs, pods } = options.caches
    jobs.on({ add: ({ metadata }) => this.#launchedAt.delete(metadata.labels?.[runUidLabel] ?? '') })
    // Between the end of a pod and its deletion a busy controller may not get to it, and what it ended of goes with it.
    pods.on({
      delete: (pod) => {
        const [run] = runs.byIndex('uid', pod.metadata.labels?.[runUidLabel] ?? '')
        if (run && isPodOf(pod, run) && !isTerminal(run.status?.phase)) this.#gonePods.set(uidOf(run), pod)
      },
    })
    runs.on({
      add: (run) => {
        this.#arrivals.observe(run)
        this.#claims.observe(run)
      },
      update: (run) => this.#claims.observe(run),
      delete: (run) => this.#forget(run),
    })
  }

  /** Takes an outcome from the bus; reconcile the run afterwards. */
  take(uid: string, outcome: Outcome): void {
    this.#outcomes.set(uid, outcome)
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const run = this.#newest(key)
    if (!run || run.metadata.deletionTimestamp) return
    const { phase } = run.status ?? {}
    if (isTerminal(phase)) return await this.#over(run)
    const outcome = this.#outcomes.get(uidOf(run))
    if (outcome) return await this.#finish(run, outcome)
    return phase === 'Running' ? await this.#running(run) : await this.#pending(run)
  }

  async #pending(run: AgentRun): Promise<ReconcileResult> {
    const step = this.#decidePending(run, await this.#gatherForPending(run))
    switch (step.do) {
      case 'conclude':
        return await this.#conclude(run, step.ending)
      case 'wait': {
        const patch = waitingStatus(run, step, this.#now())
        if (changes(run, patch)) await this.#patch(run, patch)
        return { requeueAfterMs: step.forMs }
      }
      case 'start': {
        const { effective } = step
        const running = await this.#patch(run, startingStatus(run, effective, jobName(run), this.#now()))
        return await this.#launch(running, effective)
      }
    }
  }

  /** What no cache holds: copies of ConfigMaps that somebody else made, and the addresses of our own Services. */
  async #gatherForPending(run: AgentRun): Promise<Gathered> {
    const { skills, caches } = this.#options
    const hosts = await this.#hosts?.find()
    const configMaps = new Map<string, ConfigMap>()
    const instance = caches.instances.get(instanceKeyOf(run))
    if (instance && !run.status?.effective) {
      for (const { configMapRef } of instance.spec.skills ?? []) {
        if (!configMapRef) continue
        const copy = await skills.copyOf(configMapRef.name, instance)
        if (copy) configMaps.set(configMapRef.name, copy)
      }
    }
    return { configMaps, ...(hosts && 'missing' in hosts ? { missingHost: hosts.missing } : {}) }
  }

  /** Decides and takes the place in one go: nothing may happen between the two. */
  #decidePending(run: AgentRun, gathered: Gathered): PendingStep {
    const { caches, platform } = this.#options
    const { namespace } = run.metadata
    const at = (name: string) => keyOf({ metadata: { name, namespace } })
    const instanceKey = instanceKeyOf(run)
    const { parent } = run.spec
    const step = decidePending({
      ...gathered,
      run,
      parent: parent && caches.runs.get(at(parent.name)),
      instance: caches.instances.get(instanceKey),
      policies: (name) => caches.policies.get(at(name)),
      packs: (name) => caches.packs.get(at(name)),
      siblings: caches.runs.byIndex('instance', instanceKey),
      claimed: this.#claims.of(run),
      arrival: (one) => this.#arrivals.of(one),
      platform,
    })
    if (step.do === 'start') this.#claims.add(run)
    return step
  }

  async #running(run: AgentRun): Promise<ReconcileResult> {
    const step = decideRunning(await this.#gather(run))
    return await this.#applyRunning(run, step)
  }

  async #applyRunning(run: AgentRun, step: RunningStep): Promise<ReconcileResult> {
    switch (step.do) {
      case 'launch': {
        const unseenMs = this.#now().getTime() - (this.#launchedAt.get(uidOf(run))?.getTime() ?? 0)
        if (unseenMs < jobSeenMs) return { requeueAfterMs: jobSeenMs - unseenMs }
        // A run of an earlier process of ours: it may have come further than its status tells.
        const { outcome, called } = await this.#options.records.look(addressOfRun(run))
        if (outcome) return await this.#finish(run, outcome)
        if (called) return await this.#conclude(run, failed(endReasons.podLost, 'the Job was deleted under the run'))
        const { effective } = run.status ?? {}
        if (!effective) throw new ClawError('internal', 'a run is Running and has no status.effective')
        return await this.#launch(run, effective)
      }
      case 'recordStart':
        await this.#patch(run, startedStatus(run, step.podName, this.#now()))
        return
      case 'recordStuck':
        await this.#patch(run, stuckStatus(run, step.stuck, this.#now()))
        return { requeueAfterMs: step.forMs }
      case 'sendCancel':
        await this.#options.records.cancel(addressOfRun(run))
        this.#cancelSentAt.set(uidOf(run), this.#now())
        return { requeueAfterMs: 1 }
      case 'conclude':
        return await this.#conclude(run, step.ending)
      case 'wait':
        return { requeueAfterMs: step.forMs }
    }
  }

  async #gather(run: AgentRun) {
    const { kube, caches } = this.#options
    const uid = uidOf(run)
    const cachedJob = caches.jobs.byIndex('run', uid).find((job) => isJobOf(job, run))
    const cachedPod = caches.pods.byIndex('run', uid).find((pod) => isPodOf(pod, run))
    // Where the absence of something would end the run, the cache's word is not enough.
    const doubt = isStarted(run) && (!cachedPod || !cachedJob)
    const { namespace } = run.metadata
    const job = cachedJob ?? (doubt ? await kube.find<Job>(jobs, { name: jobName(run), namespace }) : undefined)
    const pod = cachedPod ?? (doubt ? await this.#livePod(run) : undefined)
    const now = this.#now()
    const { startDeadlineMs } = this.#options
    const overdue = job !== undefined && pod === undefined && waitedMs({ run, now }) >= podExpectedMs
    const jobTrouble = overdue ? await whyNoPod(kube, job) : this.#refused.get(uid)
    return {
      run,
      now,
      job,
      pod,
      gone: this.#gonePods.get(uid),
      cancelSentAt: this.#cancelSentAt.get(uid),
      jobTrouble,
      startDeadlineMs,
    }
  }

  async #livePod(run: AgentRun): Promise<Pod | undefined> {
    const selection = { namespace: run.metadata.namespace, labelSelector: `${runUidLabel}=${uidOf(run)}` }
    const { items } = await this.#options.kube.list<Pod>(pods, selection)
    return items.find((pod) => isPodOf(pod, run))
  }

  async #launch(run: AgentRun, effective: Effective): Promise<ReconcileResult> {
    const { kube, caches, records, room, settings, startDeadlineMs = usualStartDeadlineMs, log } = this.#options
    const hosts = await this.#hosts?.find()
    if (hosts && 'missing' in hosts) throw new ClawError('unavailable', hosts.missing)
    const task = taskMessage(run, effective, caches.instances.get(instanceKeyOf(run)))
    if (task.chat && effective.sandbox?.enabled) task.chat.room = await room.toHandOver(run)
    await records.open(addressOfRun(run), task)
    const facts = {
      startDeadlineSeconds: startDeadlineMs / 1000,
      bridgeKey: randomBytes(24).toString('base64url'),
      hostAliases: hosts?.aliases,
      fileRoom: task.chat?.room,
    }
    try {
      const job = buildJob(run, effective, settings, facts)
      this.#launchedAt.set(uidOf(run), this.#now())
      const { created } = await createOrAdopt<Job>(kube, jobs, job, run)
      this.#refused.delete(uidOf(run))
      if (created) log.info({ ...fieldsOf(run), job: job.metadata.name }, 'run started')
    } catch (error) {
      this.#launchedAt.delete(uidOf(run))
      if (isClawError(error, 'forbidden')) return await this.#launchLater(run, errorMessage(error))
      // What the API server will refuse again tomorrow is the end of the run; the rest is worth another try.
      if (!isClawError(error, 'invalid', 'malformed', 'not_ours')) throw error
      return await this.#conclude(run, failed(endReasons.jobRefused, errorMessage(error)))
    }
    return undefined
  }

  /** A quota, or an admission of the cluster's own: it may let the Job in later, until the start deadline. */
  async #launchLater(run: AgentRun, message: string): Promise<ReconcileResult> {
    const stuck = { reason: message.includes('exceeded quota') ? 'QuotaExceeded' : 'JobForbidden', message }
    this.#refused.set(uidOf(run), stuck)
    const patch = stuckStatus(run, stuck, this.#now())
    if (changes(run, patch)) await this.#patch(run, patch)
    return { requeueAfterMs: launchRetryMs }
  }

  async #conclude(run: AgentRun, ending: Ending): Promise<ReconcileResult> {
    return await this.#finish(run, await this.#options.records.conclude(addressOfRun(run), ending, this.#now()))
  }

  async #finish(run: AgentRun, outcome: Outcome): Promise<ReconcileResult> {
    const finished = await this.#patch(run, finishedStatus(run, outcome, this.#now()))
    this.#outcomes.delete(uidOf(run))
    this.#cancelSentAt.delete(uidOf(run))
    this.#refused.delete(uidOf(run))
    this.#gonePods.delete(uidOf(run))
    const { phase, reason, writer } = outcome
    this.#options.log.info({ ...fieldsOf(run), phase, reason, writer }, 'run finished')
    return await this.#over(finished)
  }

  async #over(run: AgentRun): Promise<ReconcileResult> {
    const { kube, caches, records, log } = this.#options
    const uid = uidOf(run)
    const job = caches.jobs.byIndex('run', uid).find((one) => isJobOf(one, run))
    const pod = caches.pods.byIndex('run', uid).find((one) => isPodOf(one, run))
    const step = decideOver({ run, now: this.#now(), job, pod })
    if (step.deleteJob && job) {
      log.info(fieldsOf(run), 'ending a pod that outlived its run')
      await this.#gone(kube.delete(jobs, job.metadata, { uid: job.metadata.uid }))
    }
    if (step.quiet && !this.#released.has(uid)) {
      await records.release(addressOfRun(run), turnOf(run)?.files && turnOf(run)?.channel)
      this.#released.add(uid)
    }
    if (step.deleteRun) {
      await this.#gone(kube.delete(agentRuns, run.metadata, { uid }))
      return
    }
    return { requeueAfterMs: step.forMs }
  }

  async #gone(deletion: Promise<void>): Promise<void> {
    await deletion.catch((error: unknown) => {
      if (!isClawError(error, 'not_found', 'conflict')) throw error
    })
  }

  async #patch(run: AgentRun, status: StatusPatch): Promise<AgentRun> {
    const { resourceVersion } = run.metadata
    const patch = { metadata: { resourceVersion }, status }
    const key = keyOf(run)
    // Taken before the request: if the cache moves while it is under way, what it then shows may be newer still.
    const from = this.#options.caches.runs.get(key)?.metadata.resourceVersion
    const written = await this.#options.kube.patch<AgentRun>(agentRuns, run.metadata, patch, 'status')
    this.#written.set(key, { from, run: written })
    return written
  }

  /** What the cache shows, or what was written since where the cache has not moved. */
  #newest(key: string): AgentRun | undefined {
    const cached = this.#options.caches.runs.get(key)
    const written = this.#written.get(key)
    if (cached && written && cached.metadata.resourceVersion === written.from) return written.run
    this.#written.delete(key)
    return cached
  }

  #forget(run: AgentRun): void {
    const uid = uidOf(run)
    this.#claims.observe(run, true)
    this.#arrivals.forget(run)
    this.#outcomes.delete(uid)
    this.#cancelSentAt.delete(uid)
    this.#refused.delete(uid)
    this.#gonePods.delete(uid)
    this.#launchedAt.delete(uid)
    this.#released.delete(uid)
    this.#written.delete(keyOf(run))
  }
}

/** The label is only where to look: whoever may create a Job or a pod anywhere may write it. */
function isJobOf(job: Job, run: AgentRun): boolean {
  return job.metadata.namespace === run.metadata.namespace && isOwnedBy(job, run)
}

function isPodOf(pod: Pod, run: AgentRun): boolean {
  const owner = controllerOf(pod)
  const inJob = owner?.apiVersion === 'batch/v1' && owner.kind === 'Job' && owner.name === jobName(run)
  return inJob && pod.metadata.namespace === run.metadata.namespace
}

function uidOf(run: AgentRun): string {
  return run.metadata.uid ?? ''
}

function fieldsOf(run: AgentRun) {
  const { name, namespace, uid } = run.metadata
  return { run: name, namespace, uid, instance: run.spec.instanceRef.name }
}
