import type { KubeObject, Resource } from '#core/kinds'

function core(kind: string, plural: string, namespaced = true): Resource {
  return { group: '', version: 'v1', kind, plural, namespaced }
}

function grouped(group: string, kind: string, plural: string, namespaced = true): Resource {
  return { group, version: 'v1', kind, plural, namespaced }
}

export const pods = core('Pod', 'pods')
export const configMaps = core('ConfigMap', 'configmaps')
export const secrets = core('Secret', 'secrets')
export const serviceAccounts = core('ServiceAccount', 'serviceaccounts')
export const namespaces = core('Namespace', 'namespaces', false)
export const networkPolicies = grouped('networking.k8s.io', 'NetworkPolicy', 'networkpolicies')
export const services = core('Service', 'services')
export const events = core('Event', 'events')
export const jobs = grouped('batch', 'Job', 'jobs')
export const deployments = grouped('apps', 'Deployment', 'deployments')
export const replicaSets = grouped('apps', 'ReplicaSet', 'replicasets')
export const leases = grouped('coordination.k8s.io', 'Lease', 'leases')
export const roles = grouped('rbac.authorization.k8s.io', 'Role', 'roles')
export const roleBindings = grouped('rbac.authorization.k8s.io', 'RoleBinding', 'rolebindings')
export const clusterRoles = grouped('rbac.authorization.k8s.io', 'ClusterRole', 'clusterroles', false)
export const clusterRoleBindings = grouped(
  'rbac.authorization.k8s.io',
  'ClusterRoleBinding',
  'clusterrolebindings',
  false,
)
export const customResourceDefinitionResource = grouped(
  'apiextensions.k8s.io',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  false,
)
export const mutatingWebhookConfigurations = grouped(
  'admissionregistration.k8s.io',
  'MutatingWebhookConfiguration',
  'mutatingwebhookconfigurations',
  false,
)
export const validatingWebhookConfigurations = grouped(
  'admissionregistration.k8s.io',
  'ValidatingWebhookConfiguration',
  'validatingwebhookconfigurations',
  false,
)

/** The parts of a container's state that decide something here. */
export interface ContainerStatus {
  name: string
  ready?: boolean
  restartCount?: number
  state?: {
    waiting?: { reason?: string; message?: string }
    running?: { startedAt?: string }
    terminated?: { exitCode: number; signal?: number; reason?: string; message?: string; finishedAt?: string }
  }
  /** How it was before it was started again. */
  lastState?: ContainerStatus['state']
}

export interface Pod extends KubeObject {
  spec?: { nodeName?: string; serviceAccountName?: string; [field: string]: unknown }
  status?: {
    phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown'
    reason?: string
    message?: string
    podIP?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
    containerStatuses?: ContainerStatus[]
    initContainerStatuses?: ContainerStatus[]
  }
}

export interface Job extends KubeObject {
  spec?: Record<string, unknown>
  status?: {
    active?: number
    succeeded?: number
    failed?: number
    startTime?: string
    completionTime?: string
    conditions?: { type: string; status: string; reason?: string; message?: string }[]
  }
}

export interface Service extends KubeObject {
  spec?: { clusterIP?: string; [field: string]: unknown }
}

/** What somebody tells beside an object; kept for an hour. */
export interface KubeEvent extends KubeObject {
  type?: string
  reason?: string
  message?: string
  lastTimestamp?: string | null
  eventTime?: string | null
}

export interface Secret extends KubeObject {
  type?: string
  /** Base64, as the API holds it. */
  data?: Record<string, string>
  stringData?: Record<string, string>
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>
  binaryData?: Record<string, string>
  immutable?: boolean
}
