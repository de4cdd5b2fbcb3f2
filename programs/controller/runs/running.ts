import type { AgentRun } from '#core/kinds'
import type { Job, Pod } from '#core/kube'
import { agentContainer } from '../resources/job.ts'
import {
  bridgeGraceMs,
  bridgeHasEnded,
  bridgeRuns,
  type Ending,
  endingOfPod,
  failed,
  hasStarted,
  jobFailure,
  statusOf,
  whyNotStarted,
} from './ending.ts'

export interface RunningFacts {
  run: AgentRun
  now: Date
  /** As the API server has it now, not as the cache remembers it, wherever its absence would decide. */
  job: Job | undefined
  pod: Pod | undefined
  /** When the cancel was sent into the run, if it was. */
  cancelSentAt: Date | undefined
}

export type RunningStep =
  /** Consumers, task and Job, whichever are not there yet. */
  | { do: 'launch' }
  | { do: 'recordStart'; podName: string }
  | { do: 'sendCancel' }
  | { do: 'conclude'; ending: Ending }
  /** Nothing now; look again after a while even if nothing happens. */
  | { do: 'wait'; forMs: number | undefined }

const startDeadlineMs = 5 * 60_000
/** Seconds that an agent has after it is told of a cancel. */
export const cancelGraceSeconds = 5
/** How long the bridge has to write the outcome of a cancel. */
const cancelAnswerMs = (cancelGraceSeconds + 10) * 1000

/** What to do with a run that was let start and has no outcome yet. */
export function decideRunning(facts: RunningFacts): RunningStep {
  const { run, now, job, pod } = facts
  const started = isStarted(run)
  const ended = pod && endingOfPod(pod)
  if (pod && ended) return endOrWait(pod, ended, now)

  const failure = jobFailure(job)
  if (failure?.reason === 'DeadlineExceeded') {
    return conclude({ phase: 'TimedOut', reason: 'DeadlineExceeded', error: 'the Job reached its deadline' })
  }
  if (!pod && failure) return conclude(failed('PodLost', `the pod was deleted (${failure.reason})`))
  if (!pod && started) {
    return conclude(failed('PodLost', job ? 'the pod was deleted under the run' : 'the Job was deleted under the run'))
  }

  const running = pod !== undefined && hasStarted(pod)
  if (run.spec.cancel) {
    const step = decideCancel(facts, running)
    if (step) return step
  }
  if (running) {
    return started ? { do: 'wait', forMs: undefined } : { do: 'recordStart', podName: pod.metadata.name }
  }
  const left = startDeadlineMs - (now.getTime() - Date.parse(run.status?.startedAt ?? now.toISOString()))
  if (left <= 0) return conclude(failed('StartDeadline', `not started in 5 minutes: ${whyNotStarted(pod)}`))
  return job ? { do: 'wait', forMs: left } : { do: 'launch' }
}

/** A bridge that runs ends the run in order; where there is none the controller does. */
function decideCancel({ pod, now, cancelSentAt }: RunningFacts, agentRuns: boolean): RunningStep | undefined {
  const cancelled = conclude({ phase: 'Cancelled', reason: 'Cancelled' })
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
