import type { AgentRun } from '#core/kinds'
import type { Job, Pod } from '#core/kube'
import { agentContainer } from '../resources/job.ts'
import {
  bridgeGraceMs,
  bridgeHasEnded,
  bridgeRuns,
  type Ending,
  endingOfGone,
  endingOfPod,
  failed,
  hasStarted,
  jobFailure,
  lostWithNode,
  reachedDeadline,
  type Stuck,
  statusOf,
  whyStuck,
} from './ending.ts'
import { endReasons } from './reasons.ts'

export interface RunningFacts {
  run: AgentRun
  now: Date
  /** As the API server has it now, not as the cache remembers it, wherever its absence would decide. */
  job: Job | undefined
  pod: Pod | undefined
  /** The last that was seen of its pod, where that is gone. */
  gone?: Pod | undefined
  /** When the cancel was sent into the run, if it was. */
  cancelSentAt: Date | undefined
  /** Why there is no Job, or why it has no pod, where that is known. */
  jobTrouble?: Stuck | undefined
  /** How long a pod may take to start its agent, milliseconds. */
  startDeadlineMs?: number | undefined
}

export type RunningStep =
  /** Consumers, task and Job, whichever are not there yet. */
  | { do: 'launch' }
  | { do: 'recordStart'; podName: string }
  /** Say what keeps the agent from starting, and look again after a while. */
  | { do: 'recordStuck'; stuck: Stuck; forMs: number }
  | { do: 'sendCancel' }
  | { do: 'conclude'; ending: Ending }
  /** Nothing now; look again after a while even if nothing happens. */
  | { do: 'wait'; forMs: number | undefined }

export const usualStartDeadlineMs = 5 * 60_000
/** How long a Job without a pod is nothing to ask about, and how often then: quotas and admission tell it in events. */
export const podExpectedMs = 15_000
/** Seconds that an agent has after it is told of a cancel. */
export const cancelGraceSeconds = 5
/** How long the bridge has to write the outcome of a cancel. */
const cancelAnswerMs = (cancelGraceSeconds + 10) * 1000

/**
 * What to do with a run that was let start and has no outcome yet. It is decided from all that is there, and from nothing
 * that only the order tells: a cancelled run is Cancelled whatever its pod died of meanwhile, one over its deadline is
 * TimedOut whether or not its Job has said so by now, and what a pod ended of counts when it is gone, too.
 */
export function decideRunning(facts: RunningFacts): RunningStep {
  const step = decideUncancelled(facts)
  if (step.do !== 'conclude' || !facts.run.spec.cancel) return step
  return conclude({ ...step.ending, phase: 'Cancelled', reason: endReasons.cancelled })
}

function decideUncancelled(facts: RunningFacts): RunningStep {
  const { run, now, job, pod, gone } = facts
  const started = isStarted(run)
  const running = pod !== undefined && hasStarted(pod)
  const seen = pod ?? gone
  const late = (started || (seen && hasStarted(seen))) && reachedDeadline(job, seen)
  const ended = pod && endingOfPod(pod)
  if (pod && ended) return endOrWait(pod, late ? timedOut : ended, now)
  if (late) return conclude(timedOut)

  const lost = pod && lostWithNode(pod)
  if (lost && lost.at <= now) return conclude(lost.ending)
  const failure = jobFailure(job)
  if (!pod && (started || (failure && failure.reason !== 'DeadlineExceeded'))) {
    const what = job ? `the pod was deleted${failure ? ` (${failure.reason})` : ' under the run'}` : jobDeleted
    return conclude((gone && endingOfGone(gone)) ?? failed(endReasons.podLost, what))
  }

  if (run.spec.cancel) {
    const step = decideCancel(facts, running)
    if (step) return step
  }
  if (running) {
    if (!started) return { do: 'recordStart', podName: pod.metadata.name }
    return { do: 'wait', forMs: lost && lost.at.getTime() - now.getTime() }
  }
  return awaitStart(facts)
}

const timedOut: Ending = { phase: 'TimedOut', reason: endReasons.deadline, error: 'the Job reached its deadline' }
const jobDeleted = 'the Job was deleted under the run'

/** An agent that has not started: what keeps it is shown, and after the deadline it is the end of the run. */
function awaitStart(facts: RunningFacts): RunningStep {
  const { run, job, pod, startDeadlineMs = usualStartDeadlineMs } = facts
  const waited = waitedMs(facts)
  const stuck = pod ? whyStuck(pod) : facts.jobTrouble
  const left = startDeadlineMs - waited
  if (left <= 0) {
    const unknown = pod ? 'its containers have not started' : 'no pod was created'
    const why = stuck ? `${stuck.reason}: ${stuck.message}` : unknown
    return conclude(failed(endReasons.startDeadline, `not started in ${startDeadlineMs / 1000} s: ${why}`))
  }
  if (!job) return { do: 'launch' }
  const untilAsked = waited < podExpectedMs ? podExpectedMs - waited : 2 * podExpectedMs
  const forMs = pod ? left : Math.min(left, untilAsked)
  const shown = run.status?.conditions?.find((c) => c.type === 'Started')?.reason
  return stuck && stuck.reason !== shown ? { do: 'recordStuck', stuck, forMs } : { do: 'wait', forMs }
}

/** How long a run that took its place has waited for its agent to start. */
export function waitedMs({ run, now }: Pick<RunningFacts, 'run' | 'now'>): number {
  return now.getTime() - Date.parse(run.status?.startedAt ?? now.toISOString())
}

/** A bridge that runs ends the run in order; where there is none the controller does. */
function decideCancel({ pod, now, cancelSentAt }: RunningFacts, agentRuns: boolean): RunningStep | undefined {
  const cancelled = conclude({ phase: 'Cancelled', reason: endReasons.cancelled })
  if (!pod || (!agentRuns && !bridgeRuns(pod))) return cancelled
  if (!cancelSentAt) return { do: 'sendCancel' }
  const left = cancelAnswerMs - (now.getTime() - cancelSentAt.getTime())
  return left <= 0 ? cancelled : { do: 'wait', forMs: left }
}

/** The bridge comes first: it may hold a result that is not written yet. */
function endOrWait(pod: Pod, ending: Ending, now: Date): RunningStep {
  const finishedAt = statusOf(pod, agentContainer)?.state?.terminated?.finishedAt
  const since = finishedAt ? now.getTime() - Date.parse(finishedAt) : bridgeGraceMs
  if (bridgeHasEnded(pod) || since >= bridgeGraceMs) return conclude(ending)
  return { do: 'wait', forMs: bridgeGraceMs - since }
}

export function isStarted(run: AgentRun): boolean {
  return run.status?.conditions?.some((c) => c.type === 'Started' && c.status === 'True') ?? false
}

function conclude(ending: Ending): RunningStep {
  return { do: 'conclude', ending }
}
