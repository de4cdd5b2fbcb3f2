/** How many pods each ReplicaSet of a Deployment should have next. Pure. */
import type { Deployment, ReplicaSet } from './objects.ts'

/** The wanted size of each ReplicaSet, by name; the current one holds the Deployment's template. */
export function rollout(deployment: Deployment, current: ReplicaSet, old: ReplicaSet[]): Map<string, number> {
  const replicas = deployment.spec.replicas ?? 1
  const sizes = new Map<string, number>()
  if (deployment.spec.strategy?.type === 'Recreate') {
    for (const set of old) sizes.set(set.metadata.name, 0)
    // Not one new pod while an old one is left: two of them at once is what Recreate rules out.
    const oldPods = old.reduce((sum, set) => sum + Math.max(set.status?.replicas ?? 0, set.spec.replicas ?? 0), 0)
    if (oldPods === 0) sizes.set(current.metadata.name, replicas)
    return sizes
  }
  const { maxSurge = '25%', maxUnavailable = '25%' } = deployment.spec.strategy?.rollingUpdate ?? {}
  const surge = share(maxSurge, replicas, Math.ceil)
  // Both zero would never move.
  const unavailable = Math.max(share(maxUnavailable, replicas, Math.floor), surge === 0 ? 1 : 0)
  const size = (set: ReplicaSet) => set.spec.replicas ?? 0
  const available = (set: ReplicaSet) => Math.min(set.status?.availableReplicas ?? 0, size(set))

  const oldTotal = old.reduce((sum, set) => sum + size(set), 0)
  const room = Math.max(0, replicas + surge - oldTotal - size(current))
  const grown = size(current) > replicas ? replicas : Math.min(replicas, size(current) + room)
  sizes.set(current.metadata.name, grown)

  const ready = [current, ...old].reduce((sum, set) => sum + available(set), 0)
  let spare = Math.max(0, ready - (replicas - unavailable))
  for (const set of old) {
    // Pods that are not available serve nobody, so they go first and for free.
    const broken = size(set) - available(set)
    const healthy = Math.min(available(set), spare)
    spare -= healthy
    sizes.set(set.metadata.name, size(set) - broken - healthy)
  }
  return sizes
}

function share(value: number | string, of: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value
  return value.endsWith('%') ? round((Number.parseFloat(value) / 100) * of) : Number(value)
}
