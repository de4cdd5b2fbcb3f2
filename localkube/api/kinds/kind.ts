import type { Json } from '../json.ts'
import type { FieldError, Schema } from '../schema/index.ts'
import type { Transaction } from '../store/index.ts'
import type { KubeObject } from '../types.ts'
import type { NameRule } from './names.ts'

/** One column of `kubectl get`. */
export interface Column {
  name: string
  type: 'string' | 'integer' | 'number' | 'boolean' | 'date'
  description?: string
  /** 0 is always shown, more only with `-o wide`. */
  priority?: number
  format?: string
  value(object: KubeObject): string | number | boolean | undefined
}

/** What is special about a kind beyond its schema. All of it is optional: a plain kind is a schema and a name. */
export interface Behaviour {
  /** Fills in, in place, what depends on other fields. Runs on create and on update. */
  defaults?(object: Json): void
  /** Sets, in place, what only the server may set at birth. */
  onCreate?(object: Json): void
  /** Carries over, in place, what the server set at birth and clients leave out. */
  onUpdate?(object: Json, old: KubeObject): void
  /** Findings beyond types and required fields. `old` is undefined on create. */
  validate?(object: KubeObject, old: KubeObject | undefined): FieldError[]
  /** Runs inside the write, where the state cannot change: allocations, and checks against other objects. */
  inTransaction?(object: KubeObject, transaction: Transaction, old: KubeObject | undefined): void
  /** Field selectors beyond metadata.name and metadata.namespace. */
  fields?(object: KubeObject): Record<string, string>
  /** Sets, in place, what shows that the object is on its way out; throws where it must stay. */
  onDelete?(object: KubeObject): void
  /** Something other than metadata.finalizers still holds a deleted object. */
  isHeld?(object: KubeObject): boolean
  /** Seconds that a deleted object stays, for somebody to wind it up; only pods have any. */
  gracePeriod?(object: KubeObject, asked: number | undefined): number
}

/** One served version of one resource. */
export interface Kind {
  group: string
  version: string
  kind: string
  plural: string
  singular: string
  shortNames: string[]
  categories: string[]
  namespaced: boolean
  nameRule: NameRule
  /** Of the whole object, metadata included. */
  schema: Schema
  /** Status is written through the subresource only. */
  hasStatus: boolean
  /** metadata.generation counts the changes of the spec. */
  hasGeneration: boolean
  /** A PUT without resourceVersion replaces whatever is there; custom resources insist on it. */
  unconditionalUpdate: boolean
  /** What deleting does to dependents when the client does not say: batch/v1 Jobs orphan theirs, for old times' sake. */
  defaultPropagation: 'Background' | 'Orphan'
  columns: Column[]
  behaviour: Behaviour
  /** Present for custom resources. */
  custom?: { validate(object: KubeObject, old: KubeObject | undefined): FieldError[] }
  /** Further names under the object's path, for discovery. */
  subresources: Subresource[]
}

export interface Subresource {
  name: string
  kind: string
  group?: string
  version?: string
  verbs: string[]
}

/** The name under which all versions of a resource are stored, and by which RBAC and messages call it. */
export function resourceName(kind: Pick<Kind, 'group' | 'plural'>): string {
  return kind.group ? `${kind.plural}.${kind.group}` : kind.plural
}

export function apiVersionOf(kind: Pick<Kind, 'group' | 'version'>): string {
  return kind.group ? `${kind.group}/${kind.version}` : kind.version
}

/** A kind from the few words that differ; the rest is usual. */
export function defineKind(
  words: Pick<Kind, 'group' | 'version' | 'kind' | 'plural' | 'schema'> & Partial<Kind>,
): Kind {
  const schema: Schema = {
    ...words.schema,
    'x-kubernetes-group-version-kind': [{ group: words.group, version: words.version, kind: words.kind }],
  }
  return {
    singular: words.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced: true,
    nameRule: 'subdomain',
    hasStatus: false,
    hasGeneration: false,
    unconditionalUpdate: true,
    defaultPropagation: 'Background',
    columns: [],
    behaviour: {},
    subresources: [],
    ...words,
    schema,
  }
}
