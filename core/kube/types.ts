import type { Resource } from '#core/kinds'

/** Where an object is. `namespace` defaults to the client's own and is ignored for cluster-wide kinds. */
export interface Address {
  name: string
  namespace?: string | undefined
}

export interface Selection {
  /** `*` for all namespaces; defaults to the client's own. */
  namespace?: string | undefined
  labelSelector?: string | undefined
  fieldSelector?: string | undefined
  signal?: AbortSignal | undefined
}

export interface WatchOptions extends Selection {
  resourceVersion?: string | undefined
  /** Seconds after which the server ends the watch by itself. */
  timeoutSeconds?: number | undefined
  /** Milliseconds of silence after which the connection counts as dead. */
  idleMs?: number | undefined
}

export interface List<T> {
  items: T[]
  resourceVersion: string
}

export interface PageOptions {
  limit?: number | undefined
  /** Where the page before ended. */
  continue?: string | undefined
}

export interface Page<T> extends List<T> {
  /** Where the next page begins; absent on the last. */
  continue?: string
}

export interface DeleteOptions {
  /** Background by default: a batch Job deleted without a policy orphans its pods. */
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined
  gracePeriodSeconds?: number | undefined
  /** Delete only this very object, never a successor of its name. */
  uid?: string | undefined
}

export interface TokenUser {
  authenticated: boolean
  username: string
  uid: string
  groups: string[]
  extra: Record<string, string[]>
  audiences: string[]
}

export interface AccessQuestion {
  user: string
  groups?: string[] | undefined
  uid?: string | undefined
  extra?: Record<string, string[]> | undefined
  verb: string
  resource: Resource
  subresource?: string | undefined
  name?: string | undefined
  namespace?: string | undefined
}

export type Patch = object | readonly { op: string; path: string; value?: unknown; from?: string }[]
