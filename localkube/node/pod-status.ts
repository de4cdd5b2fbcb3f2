/** The status of a pod as it follows from the states of its containers. Pure. */
import {
  type Condition,
  type ContainerStatus,
  type Pod,
  type PodPhase,
  type PodStatus,
  withCondition,
} from './objects.ts'

export interface PodState {
  init: ContainerStatus[]
  main: ContainerStatus[]
  /** Whether every init container has completed and every sidecar has started. */
  initialized: boolean
  /** Every container has ended and none will start again. */
  over: boolean
  /** Why the node ended it, such as DeadlineExceeded. */
  failure: { reason: string; message: string } | undefined
  podIP: string
  hostIP: string
  startTime: string
}

export function podStatus(pod: Pod, state: PodState, now: string): PodStatus {
  const phase = phaseOf(state)
  const ready =
    phase === 'Running' &&
    state.initialized &&
    state.main.every((c) => c.ready) &&
    sidecars(pod, state).every((c) => c.ready)
  const finished = phase === 'Succeeded' || phase === 'Failed'
  const reason = finished ? (phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed') : 'ContainersNotReady'
  const because = (ok: boolean, why: string): Omit<Condition, 'lastTransitionTime' | 'type'> =>
    ok ? { status: 'True' } : { status: 'False', reason: why }
  const initialized = state.initialized || phase === 'Succeeded'
  let conditions = pod.status?.conditions ?? []
  for (const [type, condition] of [
    ['PodScheduled', { status: 'True' as const }],
    ['Initialized', because(initialized, 'ContainersNotInitialized')],
    ['ContainersReady', because(ready, reason)],
    ['Ready', because(ready, reason)],
  ] as const) {
    conditions = withCondition(conditions, { type, ...condition }, now)
  }
  return {
    phase,
    ...(state.failure && { reason: state.failure.reason, message: state.failure.message }),
    conditions,
    hostIP: state.hostIP,
    podIP: state.podIP,
    podIPs: [{ ip: state.podIP }],
    startTime: state.startTime,
    ...(pod.status?.qosClass && { qosClass: pod.status.qosClass }),
    ...(state.init.length > 0 && { initContainerStatuses: state.init }),
    containerStatuses: state.main,
  }
}

/**
 * Pending until every main container has been started once; Failed when all ended and one failed, or when the node
 * ended the pod; an init container that failed for good fails it too.
 */
function phaseOf({ init, main, over, failure }: PodState): PodPhase {
  if (over) {
    if (failure) return 'Failed'
    return [...main].every((c) => c.state.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed'
  }
  const wasStarted = (c: ContainerStatus) => c.state.running ?? c.state.terminated ?? c.lastState.terminated
  return main.some(wasStarted) && init.every(wasStarted) ? 'Running' : 'Pending'
}

function sidecars(pod: Pod, { init }: PodState): ContainerStatus[] {
  const names = new Set((pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always').map((c) => c.name))
  return init.filter((c) => names.has(c.name))
}
