import type { Outcome } from '#core/journal'
import type { ContainerStatus, Job, Pod } from '#core/kube'
import { agentContainer, bridgeContainer, podGraceSeconds } from '../resources/job.ts'
import { endReasons } from './reasons.ts'

/** How a run ends, as far as the controller says it and not the bridge. */
export interface Ending {
  phase: Outcome['phase']
  reason: string
  error?: string
  exitCode?: number
}

/** How long the bridge has, once the agent has ended, to write the outcome itself. */
export const bridgeGraceMs = 10_000

export function statusOf(pod: Pod, container: string): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {}
  return [...containerStatuses, ...initContainerStatuses].find((status) => status.name === container)
}

/** Whether the agent runs or ran. */
export function hasStarted(pod: Pod): boolean {
  const state = statusOf(pod, agentContainer)?.state
  return state?.running !== undefined || state?.terminated !== undefined
}

/** Whether any container of the pod may still be running. */
export function isAlive(pod: Pod): boolean {
  return pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed'
}

/** Whether the bridge has ended for good: with the pod, or because the kubelet stopped it after the agent. */
export function bridgeHasEnded(pod: Pod): boolean {
  return !isAlive(pod) || statusOf(pod, bridgeContainer)?.state?.terminated !== undefined
}

export function bridgeRuns(pod: Pod): boolean {
  return statusOf(pod, bridgeContainer)?.state?.running !== undefined
}

/** How the run ended by the state of its pod alone, or undefined while it has not. */
export function endingOfPod(pod: Pod): Ending | undefined {
  const { phase, message } = pod.status ?? {}
  const terminated = statusOf(pod, agentContainer)?.state?.terminated
  const over = phase === 'Failed' || phase === 'Succeeded'
  if (!terminated && !over) return undefined
  const exit = terminated ? { exitCode: terminated.exitCode } : {}
  const disruption = disruptionOf(pod)
  if (disruption) return { ...disruption, ...exit }
  if (!terminated) return neverStarted(pod, message)
  const { exitCode } = terminated
  // What the kubelet reports of a container that was gone when it came back, as after a crash of the machine.
  if (terminated.reason === 'ContainerStatusUnknown')
    return { ...failed(endReasons.nodeLost, terminated.message?.trim() || 'the node lost the container'), ...exit }
  if (terminated.reason === 'OOMKilled')
    return { ...failed(endReasons.outOfMemory, 'the agent used more memory than it may'), ...exit }
  if (exitCode === 0) return { ...failed(endReasons.noResult, 'the agent ended without writing a result'), ...exit }
  // Shells and container runtimes report death by signal n as 128 + n.
  const signal = terminated.signal || (exitCode > 128 && exitCode <= 128 + 64 ? exitCode - 128 : 0)
  if (signal > 0 && pod.metadata.deletionTimestamp)
    return { ...failed(endReasons.podLost, 'the pod was deleted under the run'), ...exit }
  if (signal > 0) return { ...failed(endReasons.agentDied, `the agent was killed by signal ${signal}`), ...exit }
  const why = terminated.message?.trim() || `the agent ended with exit code ${exitCode}`
  return { ...failed(endReasons.agentFailed, why), ...exit }
}

/** How the run ended by the last that was seen of a pod that is gone; undefined where it still ran, for all that tells. */
export function endingOfGone(pod: Pod): Ending | undefined {
  return endingOfPod(pod) ?? disruptionOf(pod)
}

/** A pod that ended before its agent began: its node did not take it, or its first containers did not live. */
function neverStarted(pod: Pod, message: string | undefined): Ending {
  const { reason } = pod.status ?? {}
  return reason
    ? failed(endReasons.podRejected, `${reason}: ${message ?? 'the node did not take the pod'}`)
    : failed(endReasons.podLost, message ?? 'the pod ended before its agent started')
}

/** What the control plane says of a pod that it takes away (condition DisruptionTarget), and what each means. */
const disruptions: Record<string, string> = {
  EvictionByEvictionAPI: endReasons.evicted,
  TerminationByKubelet: endReasons.evicted,
  PreemptionByScheduler: endReasons.preempted,
  DeletionByTaintManager: endReasons.nodeLost,
  DeletionByPodGC: endReasons.nodeLost,
}

/** What the kubelet says in the status of a pod that it ended. */
const podReasons: Record<string, string> = {
  Evicted: endReasons.evicted,
  Preempting: endReasons.preempted,
  NodeLost: endReasons.nodeLost,
  NodeShutdown: endReasons.nodeLost,
  Shutdown: endReasons.nodeLost,
  Terminated: endReasons.nodeLost,
}

/** Whether, and why, something other than the run took the pod away. */
function disruptionOf(pod: Pod): Ending | undefined {
  const { reason = '', message, conditions = [] } = pod.status ?? {}
  const target = conditions.find((c) => c.type === 'DisruptionTarget' && c.status === 'True')
  const known = podReasons[reason] ?? disruptions[target?.reason ?? '']
  if (!known) return undefined
  return failed(known, message || target?.message || `the pod was taken away (${target?.reason ?? reason})`)
}

/** How long after a pod should be gone its node may still report that it is. */
const silenceMs = 30_000

/** A pod on a node that is not heard of any more is never reported as ended: `at` is when that is taken for its end. */
export function lostWithNode(pod: Pod): { ending: Ending; at: Date } | undefined {
  const { deletionTimestamp } = pod.metadata
  const disruption = disruptionOf(pod)
  if (!deletionTimestamp || disruption?.reason !== endReasons.nodeLost) return undefined
  return { ending: disruption, at: new Date(Date.parse(deletionTimestamp) + silenceMs) }
}

/** Why a pod has not started yet, in the words of the kubelet, the scheduler or the Job controller. */
export interface Stuck {
  /** One word, fit for the reason of a condition. */
  reason: string
  message: string
}

/** What every pod goes through on its way. */
const ordinary = new Set(['PodInitializing', 'ContainerCreating'])

/** What keeps a pod from starting, or undefined where it merely has not yet. */
export function whyStuck(pod: Pod): Stuck | undefined {
  const { containerStatuses = [], initContainerStatuses = [], conditions = [] } = pod.status ?? {}
  for (const { name, state } of [...initContainerStatuses, ...containerStatuses]) {
    const { reason, message } = state?.waiting ?? {}
    if (reason !== undefined && !ordinary.has(reason))
      return { reason, message: `container ${name}: ${message || 'it waits'}` }
  }
  const unmet = conditions.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  return unmet && { reason: unmet.reason || 'Unschedulable', message: unmet.message ?? '' }
}

/** Why the Job failed, or is about to: it tells so before it ends its pods (1.31 and later). */
export function jobFailure(job: Job | undefined): { reason: string; message: string } | undefined {
  const { conditions = [] } = job?.status ?? {}
  const failure = conditions.find(({ type, status }) => /^Fail(ed|ureTarget)$/.test(type) && status === 'True')
  return failure && { reason: failure.reason ?? 'Failed', message: failure.message ?? '' }
}

/**
 * Whether the Job was over its deadline when its pod was ended. Before Kubernetes 1.31 the Job controller deletes the pod
 * and tells only then why, so that the clock has to: of both objects it is the API server's.
 */
export function reachedDeadline(job: Job | undefined, pod: Pod | undefined): boolean {
  if (jobFailure(job)?.reason === 'DeadlineExceeded') return true
  const seconds = job?.spec?.activeDeadlineSeconds
  const { startTime } = job?.status ?? {}
  const { deletionTimestamp } = pod?.metadata ?? {}
  if (typeof seconds !== 'number' || !startTime || !deletionTimestamp) return false
  // A deletion bears the time at which its grace is over.
  return Date.parse(deletionTimestamp) >= Date.parse(startTime) + (seconds + podGraceSeconds) * 1000
}

export function jobIsOver(job: Job): boolean {
  return (
    job.status?.conditions?.some((c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True') ?? false
  )
}

export function failed(reason: string, error: string): Ending {
  return { phase: 'Failed', reason, error }
}
