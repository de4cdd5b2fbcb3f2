import type { KubeObject } from '#core/kinds'

const label = 'pod-security.kubernetes.io/enforce'
const wanted = 'restricted'
/** Says that the level is ours, so that whoever takes the platform away takes it away too. */
const mark = { 'k8sclaw.io/pod-security': 'set' }

/** What the namespace of an instance says about the pods that it admits. */
export interface PodSecurity {
  label: string
  level: string
  /** What sets the label where there is none. */
  patch?: object
}

/**
 * A namespace of a tenant admits restricted pods only, unless somebody has set a level for it: whoever administers the
 * namespace has a reason, and it is shown in the status of its instances.
 */
export function podSecurityOf(namespace: KubeObject): PodSecurity {
  const level = namespace.metadata.labels?.[label]
  if (level !== undefined) return { label, level }
  const { resourceVersion } = namespace.metadata
  return { label, level: wanted, patch: { metadata: { resourceVersion, labels: { [label]: wanted, ...mark } } } }
}
