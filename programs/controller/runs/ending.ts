import type { Outcome } from '#core/journal'
import type { ContainerStatus, Job, Pod } from '#core/kube'
import { agentContainer, bridgeContainer } from '../resources/job.ts'

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

/** How the run ended by the state of its pod alone, or undefined while the agent has not. */
export function endingOfPod(pod: Pod): Ending | undefined {
  const { phase, reason, message } = pod.status ?? {}
  if (reason === 'Evicted') return failed('Evicted', message ?? 'the node evicted the pod')
  const terminated = statusOf(pod, agentContainer)?.state?.terminated
  if (!terminated) {
    return phase === 'Failed' || phase === 'Succeeded'
      ? failed('PodLost', message ?? 'the pod ended before its agent started')
      : undefined
  }
  const { exitCode } = terminated
  if (terminated.reason === 'OOMKilled')
    return { ...failed('OOMKilled', 'the agent used more memory than it may'), exitCode }
  if (exitCode === 0) return { ...failed('NoResult', 'the agent ended without writing a result'), exitCode }
  // Shells and container runtimes report death by signal n as 128 + n.
  const signal = terminated.signal || (exitCode > 128 && exitCode <= 128 + 64 ? exitCode - 128 : 0)
  if (signal > 0) return { ...failed('AgentDied', `the agent was killed by signal ${signal}`), exitCode }
  return {
    ...failed('AgentFailed', terminated.message?.trim() || `the agent ended with exit code ${exitCode}`),
    exitCode,
  }
}

/** Why a pod has not started yet, in the kubelet's or the scheduler's words. */
export function whyNotStarted(pod: Pod | undefined): string {
  if (!pod) return 'no pod was created'
  const { containerStatuses = [], initContainerStatuses = [], conditions = [] } = pod.status ?? {}
  const waiting = [...initContainerStatuses, ...containerStatuses].find(({ state }) => {
    const reason = state?.waiting?.reason
    return reason !== undefined && reason !== 'PodInitializing' && reason !== 'ContainerCreating'
  })
  if (waiting) {
    const { reason, message } = waiting.state?.waiting ?? {}
    return `container ${waiting.name}: ${reason}${message ? `: ${message}` : ''}`
  }
  const unmet = conditions.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  return unmet ? `${unmet.reason ?? 'Unschedulable'}: ${unmet.message ?? ''}` : 'its containers have not started'
}

export function jobFailure(job: Job | undefined): { reason: string; message: string } | undefined {
  const failure = job?.status?.conditions?.find((c) => c.type === 'Failed' && c.status === 'True')
  return failure && { reason: failure.reason ?? 'Failed', message: failure.message ?? '' }
}

export function jobIsOver(job: Job): boolean {
  return (
    job.status?.conditions?.some((c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True') ?? false
  )
}

export function failed(reason: string, error: string): Ending {
  return { phase: 'Failed', reason, error }
}
