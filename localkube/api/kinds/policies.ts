import { equal, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, required } from '../schema/index.ts'
import { anyObject, bytes, integer, intOrString, keyedList, list, object, string, time } from '../schema/schema.ts'
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
  schema: wholeObject({ rules }, 'What may be done in all namespaces, or in those where it is bound.'),
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

const networkPeers = list(
  object({
    podSelector: labelSelector,
    namespaceSelector: labelSelector,
    ipBlock: object({ cidr: string, except: list(string) }, ['cidr']),
  }),
)
const networkPorts = list(object({ protocol: string, port: intOrString, endPort: integer }))

export const networkPolicies: Kind = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  hasGeneration: true,
  schema: wholeObject(
    {
      spec: object({
        podSelector: labelSelector,
        policyTypes: list(string),
        ingress: list(object({ from: networkPeers, ports: networkPorts })),
        egress: list(object({ to: networkPeers, ports: networkPorts })),
      }),
    },
    'Which traffic pods may have. On one machine it is kept but not enforced: there is no pod network.',
  ),
  columns: [
    name,
    {
      name: 'Pod-Selector',
      type: 'string',
      value: (it) =>
        Object.entries(objectAt(it, 'spec', 'podSelector', 'matchLabels'))
          .map(([key, value]) => `${key}=${String(value)}`)
          .join(',') || '<none>',
    },
    age,
  ],
  behaviour: {
    defaults(it) {
      const spec = objectAt(it, 'spec')
      setDefaults(spec, { policyTypes: spec.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'] })
    },
  },
})

export const leases: Kind = defineKind({
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  unconditionalUpdate: false,
  schema: wholeObject(
    {
      spec: object({
        holderIdentity: string,
        leaseDurationSeconds: integer,
        acquireTime: time,
        renewTime: time,
        leaseTransitions: integer,
        strategy: string,
        preferredHolder: string,
      }),
    },
    'Who leads, until when.',
  ),
  columns: [name, { name: 'Holder', type: 'string', value: (it) => stringAt(it, 'spec', 'holderIdentity') }, age],
})

export const podDisruptionBudgets: Kind = defineKind({
  group: 'policy',
  version: 'v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  shortNames: ['pdb'],
  hasStatus: true,
  hasGeneration: true,
  schema: wholeObject(
    {
      spec: object({
        minAvailable: intOrString,
        maxUnavailable: intOrString,
        selector: labelSelector,
        unhealthyPodEvictionPolicy: string,
      }),
      status: anyObject,
    },
    'How many pods may be gone at once when a node is drained; the one node here never is.',
  ),
  columns: [
    name,
    { name: 'Min Available', type: 'string', value: (it) => String(objectAt(it, 'spec').minAvailable ?? 'N/A') },
    { name: 'Max Unavailable', type: 'string', value: (it) => String(objectAt(it, 'spec').maxUnavailable ?? 'N/A') },
    age,
  ],
})

const clientConfig = object({
  url: string,
  service: object({ namespace: string, name: string, path: string, port: integer }, ['namespace', 'name']),
  caBundle: bytes,
})

const webhook = {
  name: string,
  clientConfig,
  rules: list(
    object({
      operations: list(string),
      apiGroups: list(string),
      apiVersions: list(string),
      resources: list(string),
      scope: string,
    }),
  ),
  failurePolicy: string,
  matchPolicy: string,
  namespaceSelector: labelSelector,
  objectSelector: labelSelector,
  sideEffects: string,
  timeoutSeconds: integer,
  admissionReviewVersions: list(string),
}

const admission = { group: 'admissionregistration.k8s.io', version: 'v1', namespaced: false, hasGeneration: true }
const webhookColumns = [
  name,
  { name: 'Webhooks', type: 'integer' as const, value: (it: KubeObject) => listAt(it, 'webhooks').length },
  age,
]

export const validatingWebhookConfigurations: Kind = defineKind({
  ...admission,
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
  schema: wholeObject(
    { webhooks: keyedList('name', object(webhook, ['name', 'clientConfig'])) },
    'Who may refuse writes.',
  ),
  columns: webhookColumns,
  behaviour: { defaults: (it) => defaultWebhooks(it, {}), validate: validateWebhooks },
})

export const mutatingWebhookConfigurations: Kind = defineKind({
  ...admission,
  kind: 'MutatingWebhookConfiguration',
  plural: 'mutatingwebhookconfigurations',
  schema: wholeObject(
    { webhooks: keyedList('name', object({ ...webhook, reinvocationPolicy: string }, ['name', 'clientConfig'])) },
    'Who may change and refuse writes.',
  ),
  columns: webhookColumns,
  behaviour: { defaults: (it) => defaultWebhooks(it, { reinvocationPolicy: 'Never' }), validate: validateWebhooks },
})

function defaultWebhooks(it: Record<string, unknown>, more: Record<string, unknown>): void {
  for (const one of listAt(it, 'webhooks')) {
    const hook = objectAt(one)
    setDefaults(hook, {
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...more,
    })
    const service = objectAt(hook, 'clientConfig').service
    if (service) setDefaults(objectAt(service), { port: 443 })
    for (const rule of listAt(hook, 'rules')) setDefaults(objectAt(rule), { scope: '*' })
  }
}

function validateWebhooks(it: KubeObject): FieldError[] {
  return listAt(it, 'webhooks').flatMap((hook, index) => {
    const at = `webhooks[${index}]`
    const config = objectAt(hook, 'clientConfig')
    const errors: FieldError[] = []
    if ((config.url === undefined) === (config.service === undefined)) {
      errors.push(required(`${at}.clientConfig`, 'exactly one of url or service is required'))
    }
    if (!['None', 'NoneOnDryRun'].includes(stringAt(hook, 'sideEffects'))) {
      errors.push(required(`${at}.sideEffects`, 'must specify one of None, NoneOnDryRun'))
    }
    if (!listAt(hook, 'admissionReviewVersions').includes('v1')) {
      errors.push(required(`${at}.admissionReviewVersions`, 'must specify at least one of v1'))
    }
    return errors
  })
}

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
