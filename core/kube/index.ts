/**
 * Kubernetes as our programs see it: one small client for any kind, informers that never die, a keyed queue and a
 * controller loop, the election of a leader, and the rules of ownership. It promises that every failure is a ClawError
 * with a code, that an informer survives any failure of its connection, that no two replicas lead at once, and that a
 * child of somebody else is never touched. It refuses typed clients for each kind, protobuf, and retries hidden inside
 * a request: whoever calls decides, and may say so by `untilJudged`.
 */
export { Kube } from './client.ts'
export { type ReconcileResult, runController } from './controller.ts'
export type { RawRequest, RawResponse, Reading } from './http.ts'
export { Informer, type InformerOptions } from './informer.ts'
export { untilJudged } from './judged.ts'
export { type LeaderOptions, whileLeading } from './leader.ts'
export { connectKube, loadKube } from './load.ts'
export { childName, controllerOf, createOrAdopt, isOwnedBy, keyOf, ownerReference, pathSegment } from './names.ts'
export { WorkQueue } from './queue.ts'
export {
  type ConfigMap,
  type ContainerStatus,
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  customResourceDefinitionResource,
  deployments,
  events,
  type Job,
  jobs,
  type KubeEvent,
  leases,
  mutatingWebhookConfigurations,
  namespaces,
  networkPolicies,
  type Pod,
  pods,
  replicaSets,
  roleBindings,
  roles,
  type Secret,
  type Service,
  secrets,
  serviceAccounts,
  services,
  validatingWebhookConfigurations,
} from './resources.ts'
export type { TokenUser } from './types.ts'
export type { WatchEvent } from './watch.ts'
