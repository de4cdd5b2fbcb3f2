/**
 * A small Kubernetes API server for one machine. It promises the part of the API that kubectl and ordinary controllers
 * use: typed and custom resources with watches, validation, admission webhooks, RBAC, service-account tokens, garbage
 * collection, logs and the service proxy, over HTTPS, kept in one SQLite file; what it acknowledged survives kill -9.
 * It refuses what it cannot do honestly with a sentence that says what to do instead: server-side apply, OpenAPI v2,
 * protobuf beyond a few kubectl commands, more than one replica. It runs nothing: localkube/node does.
 */
export { ApiError, type StatusCause, type StatusDetails } from './api-error.ts'
export { quantityOf } from './quantity.ts'
export { resources } from './resources.ts'
export { startApi } from './start.ts'
export type {
  ApiOptions,
  ApiServer,
  DeleteOptions,
  KubeObject,
  LocalClient,
  Log,
  LogLevel,
  LogOptions,
  MintedToken,
  NodeHooks,
  ObjectInput,
  ObjectKey,
  ObjectList,
  ObjectMeta,
  OwnerReference,
  ResourceRef,
  Selection,
  SyncEvent,
  TokenOptions,
  WatchEvent,
  WatchOptions,
  WriteOptions,
} from './types.ts'
