/** The kinds that are always there, and those that CustomResourceDefinitions add. */
import { events, namespaces, nodes, persistentVolumeClaims, serviceAccounts } from './core.ts'
import { customResourceDefinitions } from './crds.ts'
import { configMaps, secrets } from './data.ts'
import { deployments, replicaSets } from './deployments.ts'
import { jobs } from './jobs.ts'
import type { Kind } from './kind.ts'
import { pods } from './pods.ts'
import { leases, networkPolicies, podDisruptionBudgets } from './policies.ts'
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from './rbac.ts'
import { services } from './services.ts'
import { mutatingWebhookConfigurations, validatingWebhookConfigurations } from './webhook-configurations.ts'

export { cleanupFinalizer } from './crds.ts'
export { kindsOf } from './custom.ts'
export { apiVersionOf, type Column, type Kind, resourceName, type Subresource } from './kind.ts'
export { isLabelValue, isQualifiedName, validateName } from './names.ts'

export const builtinKinds: Kind[] = [
  namespaces,
  pods,
  services,
  secrets,
  configMaps,
  serviceAccounts,
  events,
  nodes,
  persistentVolumeClaims,
  deployments,
  replicaSets,
  jobs,
  roles,
  roleBindings,
  clusterRoles,
  clusterRoleBindings,
  networkPolicies,
  leases,
  podDisruptionBudgets,
  customResourceDefinitions,
  validatingWebhookConfigurations,
  mutatingWebhookConfigurations,
]
