import { builtinKinds, cleanupFinalizer, type Kind, kindsOf, resourceName } from './kinds/index.ts'
import type { Change, Store } from './store/index.ts'
import type { KubeObject } from './types.ts'

/** Which kinds are served right now. It follows the CustomResourceDefinitions in the store. */
export class Registry {
  readonly #byPath = new Map<string, Kind>()
  readonly #custom = new Map<string, Kind[]>()
  readonly #terminating = new Set<string>()
  #generation = 0

  constructor(store: Store) {
    for (const kind of builtinKinds) this.#byPath.set(pathOf(kind), kind)
    for (const entry of store.list('customresourcedefinitions.apiextensions.k8s.io')) this.#define(entry.object)
    store.subscribe((change) => this.#follow(change))
  }

  /** Changes whenever the set of kinds does; discovery and OpenAPI documents are cached by it. */
  get generation(): number {
    return this.#generation
  }

  find(group: string, version: string, plural: string): Kind | undefined {
    return this.#byPath.get(pathOf({ group, version, plural }))
  }

  findByKind(group: string, version: string, kind: string): Kind | undefined {
    return this.all().find((one) => one.group === group && one.version === version && one.kind === kind)
  }

  /** Any served version of a stored resource. */
  findByResource(resource: string): Kind | undefined {
    return this.all().find((one) => resourceName(one) === resource)
  }

  all(): Kind[] {
    return [...this.#byPath.values()]
  }

  /** The definition is being deleted, so its kinds take no new objects. */
  isTerminating(kind: Kind): boolean {
    return this.#terminating.has(resourceName(kind))
  }

  #follow({ type, entry }: Change): void {
    if (entry.resource !== 'customresourcedefinitions.apiextensions.k8s.io') return
    this.#forget(entry.name)
    if (type !== 'DELETED') this.#define(entry.object)
  }

  #define(crd: KubeObject): void {
    const kinds = kindsOf(crd)
    this.#custom.set(crd.metadata.name, kinds)
    for (const kind of kinds) this.#byPath.set(pathOf(kind), kind)
    const isLeaving = crd.metadata.deletionTimestamp && crd.metadata.finalizers?.includes(cleanupFinalizer)
    if (isLeaving) this.#terminating.add(crd.metadata.name)
    this.#generation++
  }

  #forget(name: string): void {
    for (const kind of this.#custom.get(name) ?? []) this.#byPath.delete(pathOf(kind))
    this.#custom.delete(name)
    this.#terminating.delete(name)
    this.#generation++
  }
}

function pathOf({ group, version, plural }: Pick<Kind, 'group' | 'version' | 'plural'>): string {
  return `${group}/${version}/${plural}`
}
