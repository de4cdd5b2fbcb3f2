import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import type { KubeObject } from '../types.ts'

/** READY, STATUS and RESTARTS of `kubectl get pods`, from the states of the containers. */
export function podColumnStatus(pod: KubeObject): { ready: string; status: string; restarts: number } {
  const sidecars = new Set(
    listAt(pod, 'spec', 'initContainers')
      .filter((container) => stringAt(container, 'restartPolicy') === 'Always')
      .map((container) => stringAt(container, 'name')),
  )
  const main = listAt(pod, 'status', 'containerStatuses').filter(isObject)
  const init = listAt(pod, 'status', 'initContainerStatuses').filter(isObject)
  const counted = [...init.filter((status) => sidecars.has(stringAt(status, 'name'))), ...main]
  const total = listAt(pod, 'spec', 'containers').length + sidecars.size
  const restarts = [...init, ...main].reduce((sum, status) => sum + Number(status.restartCount ?? 0), 0)
  const ready = counted.filter((status) => status.ready === true).length
  return { ready: `${ready}/${total}`, status: statusText(pod, init, main, sidecars), restarts }
}

function statusText(pod: KubeObject, init: Json[], main: Json[], sidecars: Set<string>): string {
  if (pod.metadata.deletionTimestamp) return 'Terminating'
  const phase = stringAt(pod, 'status', 'reason') || stringAt(pod, 'status', 'phase') || 'Unknown'
  for (const [index, status] of init.entries()) {
    const isSidecar = sidecars.has(stringAt(status, 'name'))
    if (stringAt(status, 'state', 'terminated', 'reason') === 'Completed') continue
    if (isSidecar && (status.started === true || phase === 'Succeeded' || phase === 'Failed')) continue
    const reason = notRunning(status)
    return reason && reason !== 'PodInitializing' ? `Init:${reason}` : `Init:${index}/${init.length}`
  }
  for (const status of main.toReversed()) {
    const reason = notRunning(status)
    if (reason && !(reason === 'Completed' && main.some((other) => isObject(objectAt(other, 'state').running)))) {
      return reason
    }
  }
  return phase
}

function notRunning(status: Json): string | undefined {
  const waiting = stringAt(status, 'state', 'waiting', 'reason')
  if (waiting) return waiting
  const terminated = objectAt(status, 'state').terminated
  if (!isObject(terminated)) return undefined
  return stringAt(terminated, 'reason') || `ExitCode:${String(terminated.exitCode ?? '')}`
}
