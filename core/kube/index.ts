/**
 * Kubernetes as our programs see it: one small client for any kind, informers that never die, a keyed queue and a
 * controller loop, and the rules of ownership. It promises that every failure is a ClawError with a code, that an
 * informer survives any failure of its connection, and that a child of somebody else is never touched. It refuses
 * typed clients for each kind, protobuf, and retries hidden inside a request: whoever calls decides.
 */
export {
  type AccessQuestion,
  type Address,
  type DeleteOptions,
  Kube,
  type List,
  type Patch,
  type Selection,
  type TokenUser,
  type Unborn,
  type WatchOptions,
} from './client.ts'
export { type ControllerOptions, type ReconcileResult, runController } from './controller.ts'
export type { RawRequest, RawResponse } from './http.ts'
export { type Handlers, Informer, type InformerOptions } from './informer.ts'
export { connectKube, loadKube } from './load.ts'
export { addressOf, childName, controllerOf, createOrAdopt, isOwnedBy, keyOf, ownerReference } from './names.ts'
export { type BackoffOptions, backoffMs, WorkQueue } from './queue.ts'
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
  leases,
  mutatingWebhookConfigurations,
  namespaces,
  type Pod,
  pods,
  roleBindings,
  roles,
  type Secret,
  secrets,
  serviceAccounts,
  services,
  validatingWebhookConfigurations,
} from './resources.ts'
export type { WatchEvent } from './watch.ts'
