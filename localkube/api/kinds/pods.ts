import { ApiError } from '../api-error.ts'
import { equal, isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, forbidden } from '../schema/index.ts'
import type { Transaction } from '../store/index.ts'
import type { KubeObject } from '../types.ts'
import { age, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { wholeObject } from './metadata.ts'
import { containersOf, defaultPodSpec } from './pod-defaults.ts'
import { podSpec, podStatus } from './pod-schema.ts'
import { podColumnStatus } from './pod-status.ts'
import { validatePodSpec } from './pod-validation.ts'
import { missingClass, unappliedOfPod } from './unapplied.ts'

/** Where containers that may speak to the API find their token. */
const tokenMountPath = '/var/run/secrets/kubernetes.io/serviceaccount'

export const pods: Kind = defineKind({
  group: '',
  version: 'v1',
  kind: 'Pod',
  plural: 'pods',
  shortNames: ['po'],
  categories: ['all'],
  hasStatus: true,
  schema: wholeObject({ spec: podSpec, status: podStatus }, 'Containers that run together on the node.'),
  columns: [
    name,
    { name: 'Ready', type: 'string', value: (pod) => podColumnStatus(pod).ready },
    { name: 'Status', type: 'string', value: (pod) => podColumnStatus(pod).status },
    { name: 'Restarts', type: 'string', value: (pod) => String(podColumnStatus(pod).restarts) },
    age,
    { name: 'IP', type: 'string', priority: 1, value: (pod) => stringAt(pod, 'status', 'podIP') || '<none>' },
    { name: 'Node', type: 'string', priority: 1, value: (pod) => stringAt(pod, 'spec', 'nodeName') || '<none>' },
  ],
  subresources: [{ name: 'log', kind: 'Pod', verbs: ['get'] }],
  behaviour: {
    defaults(pod) {
      const spec = objectAt(pod, 'spec')
      defaultPodSpec(spec)
      if (spec.enableServiceLinks === undefined) spec.enableServiceLinks = true
      if (spec.serviceAccountName === undefined) {
        spec.serviceAccountName = 'default'
        spec.serviceAccount = 'default'
      }
    },
    onCreate(pod) {
      pod.status = { phase: 'Pending', qosClass: qualityOfService(objectAt(pod, 'spec')) }
    },
    validate: (pod, old) => [
      ...unappliedOfPod(pod, old),
      ...validatePodSpec(objectAt(pod, 'spec'), 'spec'),
      ...(old ? validateUpdate(objectAt(pod, 'spec'), objectAt(old, 'spec')) : []),
    ],
    inTransaction: admitPod,
    fields: (pod) => ({
      'spec.nodeName': stringAt(pod, 'spec', 'nodeName'),
      'spec.serviceAccountName': stringAt(pod, 'spec', 'serviceAccountName'),
      'spec.restartPolicy': stringAt(pod, 'spec', 'restartPolicy'),
      'spec.schedulerName': stringAt(pod, 'spec', 'schedulerName'),
      'status.phase': stringAt(pod, 'status', 'phase'),
      'status.podIP': stringAt(pod, 'status', 'podIP'),
      'status.nominatedNodeName': stringAt(pod, 'status', 'nominatedNodeName'),
    }),
    gracePeriod(pod, asked) {
      const isOver = ['Succeeded', 'Failed'].includes(stringAt(pod, 'status', 'phase'))
      if (isOver || stringAt(pod, 'spec', 'nodeName') === '') return 0
      const own = objectAt(pod, 'spec').terminationGracePeriodSeconds
      return asked ?? (typeof own === 'number' ? own : 30)
    },
  },
})

/** A pod's spec is what its processes were started with: only the node, images, deadline and tolerations may change. */
function validateUpdate(spec: Json, old: Json): FieldError[] {
  const comparable = (one: Json): Json => {
    const copy = structuredClone(one)
    for (const key of ['activeDeadlineSeconds', 'tolerations', 'terminationGracePeriodSeconds']) delete copy[key]
    if (stringAt(old, 'nodeName') === '') delete copy.nodeName
    for (const container of containersOf(copy)) delete container.image
    return copy
  }
  if (equal(comparable(spec), comparable(old))) return []
  const allowed =
    'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'
  return [forbidden('spec', allowed)]
}

/** What the real server's own admission plugins do when a pod is created. */
function admitPod(pod: KubeObject, transaction: Transaction, old: KubeObject | undefined): void {
  if (old) return
  const missing = missingClass(objectAt(pod, 'spec'))
  if (missing !== undefined) throw forbiddenPod(pod, missing)
  useServiceAccount(pod, transaction)
}

function forbiddenPod({ metadata: { name } }: KubeObject, why: string): ApiError {
  return new ApiError(403, 'Forbidden', `pods "${name}" is forbidden: ${why}`, { name, kind: 'pods' })
}

/** The ServiceAccount admission of the real server: it must exist, lends its pull secrets, and its token is mounted. */
function useServiceAccount(pod: KubeObject, transaction: Transaction): void {
  const spec = objectAt(pod, 'spec')
  const namespace = pod.metadata.namespace ?? ''
  const accountName = stringAt(spec, 'serviceAccountName')
  const account = transaction.get({ resource: 'serviceaccounts', namespace, name: accountName })?.object
  if (!account) {
    const why = `error looking up service account ${namespace}/${accountName}: serviceaccount "${accountName}" not found`
    throw forbiddenPod(pod, why)
  }
  if (!Array.isArray(spec.imagePullSecrets) && Array.isArray(account.imagePullSecrets)) {
    spec.imagePullSecrets = structuredClone(account.imagePullSecrets)
  }
  const mounts = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true
  if (mounts === true) mountToken(spec)
}

function mountToken(spec: Json): void {
  const bare = containersOf(spec).filter(
    (container) => !listAt(container, 'volumeMounts').some((mount) => stringAt(mount, 'mountPath') === tokenMountPath),
  )
  if (bare.length === 0) return
  const volumeName = `kube-api-access-${crypto.randomUUID().slice(0, 5)}`
  for (const container of bare) {
    const mount = { name: volumeName, readOnly: true, mountPath: tokenMountPath }
    container.volumeMounts = [...listAt(container, 'volumeMounts'), mount]
  }
  const sources = [
    { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
    { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
    {
      downwardAPI: {
        items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
      },
    },
  ]
  const volume = { name: volumeName, projected: { defaultMode: 0o644, sources } }
  spec.volumes = [...listAt(spec, 'volumes'), volume]
}

function qualityOfService(spec: Json): string {
  const all = containersOf(spec).map((container) => objectAt(container, 'resources'))
  const isGuaranteed = all.every(({ limits, requests }) => {
    if (!isObject(limits) || limits.cpu === undefined || limits.memory === undefined) return false
    return isObject(requests) && requests.cpu === limits.cpu && requests.memory === limits.memory
  })
  if (isGuaranteed && all.length > 0) return 'Guaranteed'
  const sets = (part: unknown): boolean => isObject(part) && Object.keys(part).length > 0
  return all.some(({ limits, requests }) => sets(limits) || sets(requests)) ? 'Burstable' : 'BestEffort'
}
