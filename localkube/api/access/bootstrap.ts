import type { ObjectInput } from '../types.ts'

const everything = ['*']
const readVerbs = ['get', 'list', 'watch']
const writeVerbs = ['create', 'delete', 'deletecollection', 'patch', 'update']
const rbac = 'rbac.authorization.k8s.io'

/** What may be seen in a namespace without learning a secret. */
const viewable = [
  {
    apiGroups: [''],
    resources: ['configmaps', 'events', 'persistentvolumeclaims', 'pods', 'pods/log', 'serviceaccounts', 'services'],
  },
  { apiGroups: [''], resources: ['namespaces'] },
  { apiGroups: ['apps'], resources: ['deployments', 'replicasets'] },
  { apiGroups: ['batch'], resources: ['jobs'] },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'] },
]

const editable = [
  {
    apiGroups: [''],
    resources: [
      'configmaps',
      'events',
      'persistentvolumeclaims',
      'pods',
      'secrets',
      'serviceaccounts',
      'services',
      'services/proxy',
    ],
  },
  { apiGroups: [''], resources: ['serviceaccounts/token'] },
  ...viewable.slice(2),
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'] },
]

const view = viewable.map((rule) => ({ ...rule, verbs: readVerbs }))
const edit = [
  ...view,
  { apiGroups: [''], resources: ['secrets', 'services/proxy'], verbs: readVerbs },
  ...editable.map((rule) => ({ ...rule, verbs: writeVerbs })),
]
const admin = [
  ...edit,
  { apiGroups: [rbac], resources: ['roles', 'rolebindings'], verbs: [...readVerbs, ...writeVerbs] },
  { apiGroups: ['authorization.k8s.io'], resources: ['localsubjectaccessreviews'], verbs: ['create'] },
]

const roles: Record<string, { rules: unknown[]; groups: string[] }> = {
  'cluster-admin': {
    rules: [
      { apiGroups: everything, resources: everything, verbs: everything },
      { nonResourceURLs: everything, verbs: everything },
    ],
    groups: ['system:masters'],
  },
  admin: { rules: admin, groups: [] },
  edit: { rules: edit, groups: [] },
  view: { rules: view, groups: [] },
  'system:basic-user': {
    rules: [
      {
        apiGroups: ['authorization.k8s.io'],
        resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
        verbs: ['create'],
      },
      { apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'], verbs: ['create'] },
    ],
    groups: ['system:authenticated'],
  },
  'system:discovery': {
    rules: [
      {
        nonResourceURLs: ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*'],
        verbs: ['get'],
      },
    ],
    groups: ['system:authenticated'],
  },
  'system:public-info-viewer': {
    rules: [{ nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'], verbs: ['get'] }],
    groups: ['system:authenticated', 'system:unauthenticated'],
  },
  'system:auth-delegator': {
    rules: [
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
      { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
    ],
    groups: [],
  },
}

/** Roles that others add to, by a label; each takes in the one before it as well. */
const takesIn = new Set(['view', 'edit', 'admin'])
const aggregateTo = (name: string): Record<string, string> => ({ [`${rbac}/aggregate-to-${name}`]: 'true' })
const takenInBy: Record<string, Record<string, string>> = { view: aggregateTo('edit'), edit: aggregateTo('admin') }

/** The roles and bindings that every Kubernetes has, by their usual names. */
export function bootstrapRoles(): { clusterRoles: ObjectInput[]; clusterRoleBindings: ObjectInput[] } {
  const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' }
  return {
    clusterRoles: Object.entries(roles).map(([name, { rules }]) => ({
      metadata: { name, labels: { ...labels, ...takenInBy[name] } },
      rules,
      ...(takesIn.has(name) ? { aggregationRule: { clusterRoleSelectors: [{ matchLabels: aggregateTo(name) }] } } : {}),
    })),
    clusterRoleBindings: Object.entries(roles)
      .filter(([, { groups }]) => groups.length > 0)
      .map(([name, { groups }]) => ({
        metadata: { name, labels },
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
        subjects: groups.map((group) => ({ apiGroup: rbac, kind: 'Group', name: group })),
      })),
  }
}
