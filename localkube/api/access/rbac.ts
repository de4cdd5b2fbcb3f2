import { isObject, listAt, stringAt } from '../json.ts'
import { matchesLabelSelector } from '../selector.ts'
import type { Store } from '../store/index.ts'
import type { KubeObject } from '../types.ts'
import { masters, type User } from './user.ts'

const group = 'rbac.authorization.k8s.io'
export const rbacResources = {
  roles: `roles.${group}`,
  roleBindings: `rolebindings.${group}`,
  clusterRoles: `clusterroles.${group}`,
  clusterRoleBindings: `clusterrolebindings.${group}`,
}

export interface Rule {
  verbs: string[]
  apiGroups: string[]
  resources: string[]
  resourceNames: string[]
  nonResourceURLs: string[]
}

/** What somebody wants to do: to a resource, or to a path that is none. */
export type Attributes = ResourceAttributes | { verb: string; path: string }

export interface ResourceAttributes {
  verb: string
  group: string
  resource: string
  subresource: string
  /** '' means all namespaces, or a cluster-scoped resource. */
  namespace: string
  /** '' means all of them. */
  name: string
}

/** Role-based access control over the roles and bindings in the store; what no rule allows is refused. */
export class Rbac {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  allows(user: User, attributes: Attributes): boolean {
    if (user.groups.includes(masters)) return true
    const namespace = 'path' in attributes ? '' : attributes.namespace
    return this.rulesOf(user, namespace).some((rule) => ruleAllows(rule, attributes))
  }

  /** The rules that hold for a user cluster-wide and, where one is named, in a namespace. */
  rulesOf(user: User, namespace: string): Rule[] {
    const bindings = this.#store.list(rbacResources.clusterRoleBindings)
    if (namespace) bindings.push(...this.#store.list(rbacResources.roleBindings, namespace))
    return bindings
      .map((entry) => entry.object)
      .filter((binding) => listAt(binding, 'subjects').some((subject) => isSubject(subject, user, binding)))
      .flatMap((binding) => this.rulesOfRole(binding))
  }

  /** The rules behind a binding's roleRef; none when the role does not exist. */
  rulesOfRole(binding: KubeObject): Rule[] {
    const name = stringAt(binding, 'roleRef', 'name')
    const isCluster = stringAt(binding, 'roleRef', 'kind') === 'ClusterRole'
    const role = isCluster
      ? this.#store.get({ resource: rbacResources.clusterRoles, namespace: '', name })
      : this.#store.get({ resource: rbacResources.roles, namespace: binding.metadata.namespace ?? '', name })
    return role ? this.#withTakenIn(role.object) : []
  }

  /** A role's rules and those of the roles it takes in. The real server's controller copies them; here they are looked up. */
  #withTakenIn(role: KubeObject, seen = new Set<string>()): Rule[] {
    const selectors = listAt(role, 'aggregationRule', 'clusterRoleSelectors')
    if (selectors.length === 0 || seen.has(role.metadata.name)) return rulesIn(role)
    seen.add(role.metadata.name)
    const takenIn = this.#store
      .list(rbacResources.clusterRoles)
      .filter(({ object }) => selectors.some((one) => matchesLabelSelector(one, object.metadata.labels ?? {})))
    return [...rulesIn(role), ...takenIn.flatMap(({ object }) => this.#withTakenIn(object, seen))]
  }
}

export function rulesIn(role: KubeObject): Rule[] {
  return listAt(role, 'rules')
    .filter(isObject)
    .map((rule) => ({
      verbs: listAt(rule, 'verbs').map(String),
      apiGroups: listAt(rule, 'apiGroups').map(String),
      resources: listAt(rule, 'resources').map(String),
      resourceNames: listAt(rule, 'resourceNames').map(String),
      nonResourceURLs: listAt(rule, 'nonResourceURLs').map(String),
    }))
}

export function ruleAllows(rule: Rule, wanted: Attributes): boolean {
  if (!includes(rule.verbs, wanted.verb)) return false
  if ('path' in wanted) {
    return rule.nonResourceURLs.some((url) =>
      url.endsWith('*') ? wanted.path.startsWith(url.slice(0, -1)) : url === wanted.path,
    )
  }
  const { resource, subresource } = wanted
  const full = subresource ? `${resource}/${subresource}` : resource
  const namesResource =
    includes(rule.resources, full) || (subresource !== '' && rule.resources.includes(`*/${subresource}`))
  if (!namesResource || !includes(rule.apiGroups, wanted.group)) return false
  return rule.resourceNames.length === 0 || (wanted.name !== '' && rule.resourceNames.includes(wanted.name))
}

function includes(list: string[], value: string): boolean {
  return list.includes('*') || list.includes(value)
}

function isSubject(subject: unknown, user: User, binding: KubeObject): boolean {
  const name = stringAt(subject, 'name')
  switch (stringAt(subject, 'kind')) {
    case 'User':
      return name === user.name
    case 'Group':
      return user.groups.includes(name)
    case 'ServiceAccount': {
      const namespace = stringAt(subject, 'namespace') || binding.metadata.namespace || ''
      return user.name === `system:serviceaccount:${namespace}:${name}`
    }
    default:
      return false
  }
}
