/** What a Job needs next, from the Job, its pods and the time. Pure. */
import { type Condition, isReady, type Job, type JobStatus, type Pod, withCondition } from './objects.ts'

export interface JobDecision {
  status: JobStatus
  /** Pods to create. */
  create: number
  /** Pods to delete: the Job is over and they are not. */
  remove: Pod[]
  /** When to look again, in milliseconds since the epoch. */
  again?: number
  /** The Job has outlived its ttlSecondsAfterFinished. */
  expired: boolean
}

const firstRetryMs = 10_000
const longestRetryMs = 360_000

/** `lost` counts pods that were deleted before they finished: each is a failure. */
export function decideJob(job: Job, pods: Pod[], lost: number, now: number): JobDecision {
  const { spec, status: before = {} } = job
  const finishedAt = finishTime(job)
  if (finishedAt !== undefined) return afterEnd(job, pods, finishedAt, now)

  const time = secondsText(now)
  const startTime = before.startTime ?? time
  const succeeded = pods.filter((p) => p.status?.phase === 'Succeeded').length
  const failedPods = pods.filter((p) => p.status?.phase === 'Failed')
  const failed = failedPods.length + lost
  const active = pods.filter((p) => p.status?.phase !== 'Succeeded' && p.status?.phase !== 'Failed')
  const running = active.filter((p) => p.metadata.deletionTimestamp === undefined)
  const completions = spec.completions ?? 1
  const counts = { active: active.length, ready: active.filter(isReady).length, succeeded, failed, startTime }

  const backoffLimit = spec.backoffLimit ?? 6
  const deadline =
    spec.activeDeadlineSeconds === undefined ? undefined : Date.parse(startTime) + spec.activeDeadlineSeconds * 1000
  const end = (condition: Pick<Condition, 'type' | 'reason' | 'message'>): JobDecision => ({
    status: {
      ...counts,
      active: 0,
      ready: 0,
      ...(condition.type === 'Complete' && { completionTime: time }),
      conditions: [...(before.conditions ?? []), { ...condition, status: 'True', lastTransitionTime: time }],
    },
    create: 0,
    remove: running,
    expired: false,
    ...(spec.ttlSecondsAfterFinished !== undefined && { again: now + spec.ttlSecondsAfterFinished * 1000 }),
  })
  if (succeeded >= completions) {
    return end({ type: 'Complete', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' })
  }
  if (spec.suspend) {
    // Its time begins anew when it goes on.
    const { startTime: _, ...rest } = counts
    return {
      status: { ...rest, conditions: suspended(before, true, time) },
      create: 0,
      remove: running,
      expired: false,
    }
  }
  if (deadline !== undefined && now >= deadline) {
    return end({ type: 'Failed', reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' })
  }
  if (failed > backoffLimit || restarts(running) > backoffLimit) {
    return end({
      type: 'Failed',
      reason: 'BackoffLimitExceeded',
      message: 'Job has reached the specified backoff limit',
    })
  }

  const lastFailure = Math.max(0, ...failedPods.map(endOf))
  const retryAt = failed === 0 ? now : (lastFailure || now) + Math.min(firstRetryMs * 2 ** (failed - 1), longestRetryMs)
  const wanted = Math.min(spec.parallelism ?? 1, completions - succeeded)
  const missing = Math.max(0, wanted - active.length)
  const mayCreate = retryAt <= now
  const times = [deadline, missing > 0 && !mayCreate ? retryAt : undefined].filter((t) => t !== undefined)
  return {
    status: {
      ...counts,
      active: active.length + (mayCreate ? missing : 0),
      ...(before.conditions && { conditions: suspended(before, false, time) }),
    },
    create: mayCreate ? missing : 0,
    remove: [],
    expired: false,
    ...(times.length > 0 && { again: Math.min(...times) }),
  }
}

/** The conditions of a Job that is, or no longer is, suspended. */
function suspended({ conditions = [] }: JobStatus, is: boolean, now: string): Condition[] {
  if (!is && !conditions.some(({ type }) => type === 'Suspended')) return conditions
  const [status, reason, message] = is
    ? (['True', 'JobSuspended', 'Job suspended'] as const)
    : (['False', 'JobResumed', 'Job resumed'] as const)
  return withCondition(conditions, { type: 'Suspended', status, reason, message }, now)
}

/** When the Job finished, in milliseconds since the epoch. */
function finishTime(job: Job): number | undefined {
  const end = job.status?.conditions?.find((c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True')
  return end && Date.parse(end.lastTransitionTime)
}

function afterEnd(job: Job, pods: Pod[], finishedAt: number, now: number): JobDecision {
  const ttl = job.spec.ttlSecondsAfterFinished
  const expiresAt = ttl === undefined ? undefined : finishedAt + ttl * 1000
  const unfinished = pods.filter((p) => p.status?.phase !== 'Succeeded' && p.status?.phase !== 'Failed')
  return {
    status: job.status ?? {},
    create: 0,
    remove: unfinished.filter((p) => p.metadata.deletionTimestamp === undefined),
    expired: expiresAt !== undefined && now >= expiresAt,
    ...(expiresAt !== undefined && { again: expiresAt }),
  }
}

/** Of pods that restart in place: their restarts are the Job's failures too. */
function restarts(pods: Pod[]): number {
  return pods
    .filter((p) => p.spec.restartPolicy === 'OnFailure')
    .flatMap((p) => [...(p.status?.initContainerStatuses ?? []), ...(p.status?.containerStatuses ?? [])])
    .reduce((sum, c) => sum + c.restartCount, 0)
}

function endOf(pod: Pod): number {
  const ends = (pod.status?.containerStatuses ?? []).map((c) => Date.parse(c.state.terminated?.finishedAt ?? ''))
  return Math.max(0, ...ends.filter((t) => !Number.isNaN(t)))
}

function secondsText(now: number): string {
  return new Date(now).toISOString().replace(/\.\d+Z$/, 'Z')
}
