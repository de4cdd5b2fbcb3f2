/** The collections that are always there, by their kubectl names. */
import type { ResourceRef } from './types.ts'

const of = (group: string, version: string, plural: string): ResourceRef => ({ group, version, plural })

export const resources = {
  namespaces: of('', 'v1', 'namespaces'),
  pods: of('', 'v1', 'pods'),
  services: of('', 'v1', 'services'),
  secrets: of('', 'v1', 'secrets'),
  configMaps: of('', 'v1', 'configmaps'),
  serviceAccounts: of('', 'v1', 'serviceaccounts'),
  events: of('', 'v1', 'events'),
  nodes: of('', 'v1', 'nodes'),
  persistentVolumeClaims: of('', 'v1', 'persistentvolumeclaims'),
  deployments: of('apps', 'v1', 'deployments'),
  replicaSets: of('apps', 'v1', 'replicasets'),
  jobs: of('batch', 'v1', 'jobs'),
  roles: of('rbac.authorization.k8s.io', 'v1', 'roles'),
  roleBindings: of('rbac.authorization.k8s.io', 'v1', 'rolebindings'),
  clusterRoles: of('rbac.authorization.k8s.io', 'v1', 'clusterroles'),
  clusterRoleBindings: of('rbac.authorization.k8s.io', 'v1', 'clusterrolebindings'),
  networkPolicies: of('networking.k8s.io', 'v1', 'networkpolicies'),
  leases: of('coordination.k8s.io', 'v1', 'leases'),
  podDisruptionBudgets: of('policy', 'v1', 'poddisruptionbudgets'),
  customResourceDefinitions: of('apiextensions.k8s.io', 'v1', 'customresourcedefinitions'),
  validatingWebhookConfigurations: of('admissionregistration.k8s.io', 'v1', 'validatingwebhookconfigurations'),
  mutatingWebhookConfigurations: of('admissionregistration.k8s.io', 'v1', 'mutatingwebhookconfigurations'),
} as const satisfies Record<string, ResourceRef>
