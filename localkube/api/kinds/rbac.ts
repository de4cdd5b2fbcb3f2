import { equal, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, required } from '../schema/index.ts'
import { list, object, string } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, createdAt, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { labelSelector, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'

const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1', nameRule: 'path' as const }

const rules = list(
  object(
    {
      verbs: list(string),
      apiGroups: list(string),
      resources: list(string),
      resourceNames: list(string),
      nonResourceURLs: list(string),
    },
    ['verbs'],
  ),
)

const subjects = list(object({ kind: string, apiGroup: string, name: string, namespace: string }, ['kind', 'name']))
const roleRef = object({ apiGroup: string, kind: string, name: string }, ['kind', 'name'])

export const roles: Kind = defineKind({
  ...rbac,
  kind: 'Role',
  plural: 'roles',
  schema: wholeObject({ rules }, 'What may be done in one namespace.'),
  columns: [name, createdAt],
  behaviour: { validate: (it) => validateRules(it, true) },
})

export const clusterRoles: Kind = defineKind({
  ...rbac,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  namespaced: false,
  schema: wholeObject(
    { rules, aggregationRule: object({ clusterRoleSelectors: list(labelSelector) }) },
    'What may be done in all namespaces, or in those where it is bound.',
  ),
  columns: [name, createdAt],
  behaviour: { validate: (it) => validateRules(it, false) },
})

export const roleBindings: Kind = defineKind({
  ...rbac,
  kind: 'RoleBinding',
  plural: 'rolebindings',
  schema: wholeObject({ subjects, roleRef }, 'Gives a role to somebody in one namespace.', ['roleRef']),
  columns: [name, { name: 'Role', type: 'string', value: roleText }, age, ...subjectColumns()],
  behaviour: { defaults: defaultBinding, validate: (it, old) => validateBinding(it, old, ['Role', 'ClusterRole']) },
})

export const clusterRoleBindings: Kind = defineKind({
  ...rbac,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  namespaced: false,
  schema: wholeObject({ subjects, roleRef }, 'Gives a role to somebody in all namespaces.', ['roleRef']),
  columns: [name, { name: 'Role', type: 'string', value: roleText }, age, ...subjectColumns()],
  behaviour: { defaults: defaultBinding, validate: (it, old) => validateBinding(it, old, ['ClusterRole']) },
})

function validateRules(it: KubeObject, isNamespaced: boolean): FieldError[] {
  return listAt(it, 'rules').flatMap((rule, index) => {
    const at = `rules[${index}]`
    const errors: FieldError[] = []
    if (listAt(rule, 'verbs').length === 0)
      errors.push(required(`${at}.verbs`, 'verbs must contain at least one value'))
    if (listAt(rule, 'nonResourceURLs').length > 0) {
      if (isNamespaced) errors.push(required(`${at}.resources`, 'namespaced rules cannot apply to non-resource URLs'))
      return errors
    }
    if (listAt(rule, 'apiGroups').length === 0) {
      errors.push(required(`${at}.apiGroups`, 'resource rules must supply at least one api group'))
    }
    if (listAt(rule, 'resources').length === 0) {
      errors.push(required(`${at}.resources`, 'resource rules must supply at least one resource'))
    }
    return errors
  })
}

function defaultBinding(it: Record<string, unknown>): void {
  setDefaults(objectAt(it, 'roleRef'), { apiGroup: rbac.group })
  for (const subject of listAt(it, 'subjects')) {
    setDefaults(objectAt(subject), stringAt(subject, 'kind') === 'ServiceAccount' ? {} : { apiGroup: rbac.group })
  }
}

function validateBinding(it: KubeObject, old: KubeObject | undefined, kinds: string[]): FieldError[] {
  const errors: FieldError[] = []
  const { kind, name: roleName } = objectAt(it, 'roleRef')
  if (typeof kind !== 'string' || !kinds.includes(kind)) {
    errors.push({
      reason: 'FieldValueNotSupported',
      field: 'roleRef.kind',
      detail: `Unsupported value: ${JSON.stringify(kind)}: supported values: ${kinds.map((k) => `"${k}"`).join(', ')}`,
    })
  }
  if (!roleName) errors.push(required('roleRef.name'))
  for (const [index, subject] of listAt(it, 'subjects').entries()) {
    const at = `subjects[${index}]`
    if (!stringAt(subject, 'name')) errors.push(required(`${at}.name`))
    if (stringAt(subject, 'kind') === 'ServiceAccount' && !stringAt(subject, 'namespace')) {
      errors.push(required(`${at}.namespace`))
    }
  }
  if (old && !equal(it.roleRef, old.roleRef)) {
    errors.push({ reason: 'FieldValueInvalid', field: 'roleRef', detail: 'Invalid value: cannot change roleRef' })
  }
  return errors
}

function roleText(it: KubeObject): string {
  return `${stringAt(it, 'roleRef', 'kind')}/${stringAt(it, 'roleRef', 'name')}`
}

function subjectColumns(): Kind['columns'] {
  const of = (kind: string, text: (subject: unknown) => string) => (it: KubeObject) =>
    listAt(it, 'subjects')
      .filter((subject) => stringAt(subject, 'kind') === kind)
      .map(text)
      .join(', ')
  return [
    { name: 'Users', type: 'string', priority: 1, value: of('User', (s) => stringAt(s, 'name')) },
    { name: 'Groups', type: 'string', priority: 1, value: of('Group', (s) => stringAt(s, 'name')) },
    {
      name: 'ServiceAccounts',
      type: 'string',
      priority: 1,
      value: of('ServiceAccount', (s) => `${stringAt(s, 'namespace')}/${stringAt(s, 'name')}`),
    },
  ]
}
