/** The words that localkube/node and the command line build on. Objects are plain JSON, exactly as they travel. */

/** Which collection: `group` is '' for the core group, `plural` is the name in the URL. */
export interface ResourceRef {
  group: string
  version: string
  plural: string
}

/** One object of a collection; `namespace` is absent for cluster-scoped kinds. */
export interface ObjectKey {
  namespace?: string
  name: string
}

export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

export interface ObjectMeta {
  name: string
  namespace?: string
  generateName?: string
  uid: string
  resourceVersion: string
  generation?: number
  creationTimestamp: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
}

/** Any object as the API returns it. Narrow it with an interface that extends this one. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  [field: string]: unknown
}

/** What a writer hands in: the server fills in the rest of the metadata. */
export interface ObjectInput {
  apiVersion?: string
  kind?: string
  metadata: Partial<ObjectMeta>
  [field: string]: unknown
}

export interface Selection {
  namespace?: string
  /** As in the URL: `app=web,tier in (a,b),!legacy`. */
  labelSelector?: string
  /** As in the URL: `spec.nodeName=local,status.phase!=Failed`. */
  fieldSelector?: string
}

export interface ObjectList<T extends KubeObject = KubeObject> {
  items: T[]
  /** Hand it to `watch` as `from` to miss nothing. */
  resourceVersion: string
}

export interface WatchEvent<T extends KubeObject = KubeObject> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  object: T
}

/** `SYNCED` follows the last of the objects that existed at the start. */
export type SyncEvent<T extends KubeObject = KubeObject> = WatchEvent<T> | { type: 'SYNCED'; resourceVersion: string }

export interface WatchOptions extends Selection {
  /** Events after this resourceVersion; absent: from now on. Too old is an ApiError 410. */
  from?: string
  /** Ends the iteration without an error. */
  signal?: AbortSignal
}

export interface WriteOptions {
  /** Only `status` is written, and nothing else is. */
  subresource?: 'status'
  /** Everything but the write happens: defaulting, admission, validation. */
  dryRun?: boolean
}

export interface DeleteOptions {
  /** Background by default. */
  propagation?: 'Background' | 'Foreground' | 'Orphan'
  /** For pods: 0 removes the object at once; that is how the node reports that the processes are gone. */
  gracePeriodSeconds?: number
  preconditions?: { uid?: string; resourceVersion?: string }
  dryRun?: boolean
}

export interface TokenOptions {
  /** Absent: the API server's own audience. */
  audiences?: string[]
  /** Between 600 and one day's worth; default 3600. */
  expirationSeconds?: number
  /** Bound: the token is refused once this pod is gone or another took its name. */
  pod?: { name: string; uid: string }
  node?: { name: string; uid?: string }
}

export interface MintedToken {
  token: string
  expirationTimestamp: string
}

/**
 * The API without TLS, as system:masters, through the code that serves HTTP: validation, admission, resourceVersions
 * and watch events are the same. Every failure is an ApiError with the HTTP status in `code` and the Kubernetes reason.
 */
export interface LocalClient {
  get<T extends KubeObject = KubeObject>(resource: ResourceRef, key: ObjectKey): Promise<T>
  list<T extends KubeObject = KubeObject>(resource: ResourceRef, selection?: Selection): Promise<ObjectList<T>>
  /** The namespace is the object's `metadata.namespace`. */
  create<T extends KubeObject = KubeObject>(
    resource: ResourceRef,
    object: ObjectInput,
    options?: { dryRun?: boolean },
  ): Promise<T>
  /** Replaces; with `metadata.resourceVersion` a conflict is an ApiError 409. */
  update<T extends KubeObject = KubeObject>(
    resource: ResourceRef,
    object: ObjectInput,
    options?: WriteOptions,
  ): Promise<T>
  /** JSON merge patch (RFC 7386). */
  patch<T extends KubeObject = KubeObject>(
    resource: ResourceRef,
    key: ObjectKey,
    patch: Record<string, unknown>,
    options?: WriteOptions,
  ): Promise<T>
  /** Resolves once the object is gone or, where finalizers or a grace period hold it, marked with deletionTimestamp. */
  delete(resource: ResourceRef, key: ObjectKey, options?: DeleteOptions): Promise<void>
  watch<T extends KubeObject = KubeObject>(resource: ResourceRef, options?: WatchOptions): AsyncIterable<WatchEvent<T>>
  /** Every existing object as ADDED, then SYNCED, then every change, until `signal` aborts. */
  listThenWatch<T extends KubeObject = KubeObject>(
    resource: ResourceRef,
    options?: Selection & { signal?: AbortSignal },
  ): AsyncIterable<SyncEvent<T>>
  /** A token of a ServiceAccount, as the TokenRequest API would give it. */
  mintToken(serviceAccount: { namespace: string; name: string }, options?: TokenOptions): Promise<MintedToken>
}

export interface LogOptions {
  follow?: boolean
  tailLines?: number
  previous?: boolean
  sinceSeconds?: number
  timestamps?: boolean
  limitBytes?: number
}

/** What only the node knows. The API asks it for logs, and where a Service answers. */
export interface NodeHooks {
  /** Throws an ApiError (BadRequest) while the container has not started. `signal` aborts when the reader leaves. */
  logs(
    namespace: string,
    pod: string,
    container: string,
    options: LogOptions,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>
  /** Where to connect for a port (name or number) of a Service; undefined while no ready pod is behind it. */
  resolveService(namespace: string, name: string, port: string): { host: string; port: number } | undefined
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type Log = (level: LogLevel, message: string, fields: Record<string, unknown>) => void

export interface ApiOptions {
  /** Holds the database, the certificate authority and the keys; made if missing. One server at a time. */
  dataDir: string
  /** An address of 127.0.0.0/8 to listen on. */
  address: string
  /** 0 picks a free port. */
  port: number
  /** The address that clients in pods use (KUBERNETES_SERVICE_HOST); it goes into the certificate and the Service `kubernetes`. */
  serviceAddress: string
  /** Where clusterIPs come from, for example `127.77.3.`; the last number is chosen here. Default `127.96.0.`. */
  servicePrefix?: string
  log?: Log
}

export interface ApiServer {
  /** https://address:port */
  readonly url: string
  readonly caPem: string
  /** A bearer token of the group system:masters. */
  readonly adminToken: string
  readonly client: LocalClient
  /** A kubeconfig (YAML) for the administrator. */
  kubeconfig(): string
  setNodeHooks(hooks: NodeHooks): void
  /** Ends watches and connections, and closes the database. */
  close(): Promise<void>
}
