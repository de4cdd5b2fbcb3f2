import { ApiError } from '../api-error.ts'
import { objectAt, stringAt } from '../json.ts'
import { type Kind, resourceName } from '../kinds/index.ts'
import type { KubeObject } from '../types.ts'
import { type Rbac, type Rule, rbacResources, ruleAllows, rulesIn } from './rbac.ts'
import { masters, type User } from './user.ts'

/**
 * Nobody gives away what he does not hold: a role may only be written by who has all its rules (or `escalate`), and a
 * binding by who has all rules of its role (or `bind` on it).
 */
export function refuseEscalation(rbac: Rbac, user: User, kind: Kind, object: KubeObject): void {
  if (kind.group !== 'rbac.authorization.k8s.io' || user.groups.includes(masters)) return
  const resource = resourceName(kind)
  const isRole = resource === rbacResources.roles || resource === rbacResources.clusterRoles
  const namespace = object.metadata.namespace ?? ''
  const roleKind = isRole ? kind.plural : stringAt(object, 'roleRef', 'kind') === 'Role' ? 'roles' : 'clusterroles'
  const exempt = rbac.allows(user, {
    verb: isRole ? 'escalate' : 'bind',
    group: kind.group,
    resource: roleKind,
    subresource: '',
    namespace,
    name: isRole ? object.metadata.name : String(objectAt(object, 'roleRef').name ?? ''),
  })
  if (exempt) return
  const wanted = isRole ? rulesIn(object) : rbac.rulesOfRole(object)
  const held = rbac.rulesOf(user, namespace)
  const missing = wanted.map((rule) => uncovered(rule, held)).filter((rule) => rule.verbs.length > 0)
  if (missing.length === 0) return
  const groups = user.groups.map((group) => JSON.stringify(group)).join(' ')
  throw new ApiError(
    403,
    'Forbidden',
    `${resource} "${object.metadata.name}" is forbidden: user "${user.name}" (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${missing.map(ruleText).join('\n')}`,
    { name: object.metadata.name, group: kind.group, kind: kind.plural },
  )
}

/** The rule with those verbs alone of which something is allowed by none of the held rules; `*` is only by `*`. */
function uncovered(rule: Rule, held: Rule[]): Rule {
  const covers = (wanted: Parameters<typeof ruleAllows>[1]): boolean => held.some((one) => ruleAllows(one, wanted))
  const isCovered = (verb: string): boolean => {
    if (!rule.nonResourceURLs.every((path) => covers({ verb, path }))) return false
    const names = rule.resourceNames.length > 0 ? rule.resourceNames : ['']
    return rule.apiGroups.every((group) =>
      rule.resources.every((full) => {
        const [resource = '', ...rest] = full.split('/')
        return names.every((name) =>
          covers({ verb, group, resource, subresource: rest.join('/'), namespace: '', name }),
        )
      }),
    )
  }
  return { ...rule, verbs: rule.verbs.filter((verb) => !isCovered(verb)) }
}

function ruleText(rule: Rule): string {
  const parts = [
    ['APIGroups', rule.apiGroups],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['ResourceNames', rule.resourceNames],
    ['Resources', rule.resources],
    ['Verbs', rule.verbs],
  ] as const
  const texts = parts.filter(([, values]) => values.length > 0)
  return `{${texts.map(([name, values]) => `${name}:[${values.map((v) => JSON.stringify(v)).join(' ')}]`).join(', ')}}`
}
