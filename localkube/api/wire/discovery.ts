import { reviews } from '../access/reviews.ts'
import type { Kind } from '../kinds/index.ts'
import type { Registry } from '../registry.ts'

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const statusVerbs = ['get', 'patch', 'update']

interface Resource {
  group: string
  version: string
  kind: string
  plural: string
  singular: string
  namespaced: boolean
  shortNames: string[]
  categories: string[]
  verbs: string[]
  subresources: { name: string; verbs: string[]; group: string; version: string; kind: string }[]
}

/** Everything that is served, reviews included, as discovery shows it. */
function resourcesOf(registry: Registry): Resource[] {
  const asked = reviews.map((review) => ({
    ...review,
    singular: review.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: ['create'],
    subresources: [],
  }))
  return [...registry.all().map(resourceOf), ...asked]
}

function resourceOf(kind: Kind): Resource {
  const { group, version } = kind
  const status = kind.hasStatus ? [{ name: 'status', verbs: statusVerbs, group, version, kind: kind.kind }] : []
  const others = kind.subresources.map((sub) => ({
    ...sub,
    group: sub.group ?? group,
    version: sub.version ?? version,
  }))
  return { ...kind, verbs, subresources: [...status, ...others] }
}

/** Groups in the order kubectl prefers them: the core first, the built-in ones, then those of CRDs. */
function groupsOf(registry: Registry): Map<string, Map<string, Resource[]>> {
  const groups = new Map<string, Map<string, Resource[]>>()
  for (const resource of resourcesOf(registry)) {
    const versions = groups.get(resource.group) ?? new Map<string, Resource[]>()
    groups.set(resource.group, versions)
    versions.set(resource.version, [...(versions.get(resource.version) ?? []), resource])
  }
  return new Map(
    [...groups].map(([group, versions]) => [group, new Map([...versions].sort(([a], [b]) => compareVersions(a, b)))]),
  )
}

/** GA before beta before alpha, and higher before lower, as Kubernetes sorts versions. */
export function compareVersions(a: string, b: string): number {
  const rank = (version: string): [number, number, number] | undefined => {
    const found = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
    if (!found) return undefined
    return [found[2] === 'alpha' ? 0 : found[2] === 'beta' ? 1 : 2, Number(found[1]), Number(found[3] ?? 0)]
  }
  const left = rank(a)
  const right = rank(b)
  if (!left || !right) return left ? -1 : right ? 1 : a < b ? -1 : 1
  return right[0] - left[0] || right[1] - left[1] || right[2] - left[2]
}

/** `APIGroupDiscoveryList` for /api (`isCore`) or /apis. */
export function aggregated(registry: Registry, isCore: boolean, metaVersion: string): unknown {
  const items = [...groupsOf(registry)]
    .filter(([group]) => (group === '') === isCore)
    .map(([group, versions]) => ({
      metadata: { name: group, creationTimestamp: null },
      versions: [...versions].map(([version, resources]) => ({
        version,
        freshness: 'Current',
        resources: resources.map((resource) => ({
          resource: resource.plural,
          responseKind: { group, version, kind: resource.kind },
          scope: resource.namespaced ? 'Namespaced' : 'Cluster',
          singularResource: resource.singular,
          verbs: resource.verbs,
          ...(resource.shortNames.length > 0 ? { shortNames: resource.shortNames } : {}),
          ...(resource.categories.length > 0 ? { categories: resource.categories } : {}),
          ...(resource.subresources.length > 0
            ? {
                subresources: resource.subresources.map((sub) => ({
                  subresource: sub.name,
                  responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
                  verbs: sub.verbs,
                })),
              }
            : {}),
        })),
      })),
    }))
  return { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${metaVersion}`, metadata: {}, items }
}

export function apiVersions(serverAddress: string): unknown {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  }
}

export function apiGroupList(registry: Registry): unknown {
  const names = [...groupsOf(registry).keys()].filter((group) => group !== '')
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: names.map((name) => groupEntry(registry, name)) }
}

/** Undefined when the group does not exist. */
export function apiGroup(registry: Registry, group: string): unknown {
  const entry = group === '' ? undefined : groupEntry(registry, group)
  return entry && { kind: 'APIGroup', apiVersion: 'v1', ...entry }
}

function groupEntry(registry: Registry, group: string): object | undefined {
  const versions = [...(groupsOf(registry).get(group)?.keys() ?? [])].map((version) => ({
    groupVersion: `${group}/${version}`,
    version,
  }))
  return versions.length === 0 ? undefined : { name: group, versions, preferredVersion: versions[0] }
}

/** Undefined when the group version does not exist. */
export function apiResourceList(registry: Registry, group: string, version: string): unknown {
  const resources = groupsOf(registry).get(group)?.get(version)
  if (!resources) return undefined
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group ? `${group}/${version}` : version,
    resources: resources.flatMap((resource) => [
      {
        name: resource.plural,
        singularName: resource.singular,
        namespaced: resource.namespaced,
        kind: resource.kind,
        verbs: resource.verbs,
        ...(resource.shortNames.length > 0 ? { shortNames: resource.shortNames } : {}),
        ...(resource.categories.length > 0 ? { categories: resource.categories } : {}),
      },
      ...resource.subresources.map((sub) => ({
        name: `${resource.plural}/${sub.name}`,
        singularName: '',
        namespaced: resource.namespaced,
        kind: sub.kind,
        verbs: sub.verbs,
        ...(sub.group === group && sub.version === version ? {} : { group: sub.group, version: sub.version }),
      })),
    ]),
  }
}
