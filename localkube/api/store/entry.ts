import type { KubeObject } from '../types.ts'

/** An object at one revision. It is shared by all readers, so nobody may change it; the JSON text is made once. */
export class Entry {
  readonly resource: string
  readonly namespace: string
  readonly name: string
  readonly revision: number
  readonly json: string
  #object: KubeObject | undefined

  constructor(key: EntryKey, revision: number, json: string, object?: KubeObject) {
    this.resource = key.resource
    this.namespace = key.namespace
    this.name = key.name
    this.revision = revision
    this.json = json
    this.#object = object
  }

  get object(): KubeObject {
    this.#object ??= JSON.parse(this.json) as KubeObject
    return this.#object
  }

  /** A copy that the caller may change. */
  copy(): KubeObject {
    return JSON.parse(this.json) as KubeObject
  }
}

/** `resource` is `plural.group` (all versions share it); `namespace` is '' for cluster-scoped kinds. */
export interface EntryKey {
  resource: string
  namespace: string
  name: string
}

/** One row of the log. For DELETED, `entry` is the object as it was last, at the revision of its deletion. */
export interface Change {
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  entry: Entry
  previous: Entry | undefined
}
