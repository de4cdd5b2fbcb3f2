/**
 * Who may do what in Kubernetes: one row for each right of a program, with the reason for it. config/rbac is generated
 * from it (`make manifests`), and so are the tests that ask for everything else and expect a refusal. A program that
 * needs a verb gets a row here; nothing else grants one.
 */

/**
 * Where a row holds. `cluster`: everywhere. `system`: in the namespace of the platform. `tenant`: wherever the
 * controller binds the role, which it does in each namespace that has a ClawInstance.
 */
export type Scope = 'cluster' | 'system' | 'tenant'

export interface Row {
  scope: Scope
  group: string
  /** Plurals; a subresource as `plural/subresource`. */
  resources: readonly string[]
  verbs: readonly string[]
  /** Only the objects of these names. `create` and `deletecollection` know no names, so they cannot be in such a row. */
  names?: readonly string[]
  why: string
}

export const systemNamespace = 'k8sclaw-system'

const read = ['get', 'list', 'watch']
const keep = ['get', 'list', 'watch', 'create', 'patch', 'delete']
const ours = 'k8sclaw.io'
const rbac = 'rbac.authorization.k8s.io'
const admission = 'admissionregistration.k8s.io'
const configurations = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']

/** Programs by name; the service account of each is `k8sclaw-<name>` in the system namespace. */
export const programs: Readonly<Record<string, readonly Row[]>> = {
  controller: [
    row('cluster', ours, ['clawinstances', 'clawpolicies', 'skillpacks'], read, 'it acts on what they say'),
    row('cluster', ours, ['agentruns'], [...read, 'delete'], 'it runs them, and removes them once their time is over'),
    row(
      'cluster',
      ours,
      ['agentruns'],
      ['create', 'patch'],
      'it makes those that people in chats ask for, and stops them',
    ),
    row(
      'cluster',
      ours,
      ['agentruns/status', 'clawinstances/status', 'clawpolicies/status', 'skillpacks/status'],
      ['patch'],
      'it says what came of them',
    ),
    row('cluster', 'batch', ['jobs'], [...read, 'create', 'delete'], 'a run is a Job'),
    row('cluster', '', ['pods'], read, 'how a run ends is seen at its pod'),
    row('cluster', '', ['configmaps', 'serviceaccounts'], keep, 'skills, and the account of a tenant'),
    row('cluster', '', ['namespaces'], [...read, 'patch'], 'Pod Security of the namespaces of tenants'),
    row('cluster', '', ['events'], ['list'], 'why a Job has no pod is told there and nowhere else'),
    row('cluster', 'networking.k8s.io', ['networkpolicies'], keep, 'what the pods of a tenant may reach'),
    row('cluster', 'apps', ['deployments'], keep, 'a channel is one'),
    row('cluster', 'apps', ['replicasets'], ['get'], 'between a Deployment and the pod that asks for an identity'),
    row(
      'cluster',
      '',
      ['services'],
      keep,
      'where chat services call their channels; pods of runs are told addresses, not names',
    ),
    row('cluster', rbac, ['rolebindings'], keep, 'the gateway reads the provider Secrets of a tenant'),
    row('cluster', rbac, ['clusterroles'], ['bind'], 'the one role that it may hand out', ['k8sclaw-provider-reader']),
    row('cluster', 'authentication.k8s.io', ['tokenreviews'], ['create'], 'whose token asks for an identity'),
    row('system', 'coordination.k8s.io', ['leases'], ['create'], 'one replica leads'),
    row('system', 'coordination.k8s.io', ['leases'], ['get', 'update'], 'one replica leads', ['k8sclaw-controller']),
  ],
  apiserver: [
    row(
      'cluster',
      'authentication.k8s.io',
      ['tokenreviews'],
      ['create'],
      'who calls; our kinds it reads as the caller',
    ),
    row('cluster', 'authorization.k8s.io', ['subjectaccessreviews'], ['create'], 'what the caller may'),
  ],
  webhook: [
    row('cluster', ours, ['clawinstances', 'clawpolicies', 'skillpacks'], ['get'], 'a run is judged by those it names'),
    row('cluster', ours, ['agentruns'], ['get', 'list'], 'a child is judged by its parent and the children of that'),
    row('cluster', 'authorization.k8s.io', ['subjectaccessreviews'], ['create'], 'what the writer may refer to'),
    row('cluster', admission, configurations, ['list', 'watch'], 'its authority stands in its own two; see the next'),
    row('cluster', admission, configurations, ['get', 'patch'], 'its authority stands there', ['k8sclaw-webhook']),
    row('system', '', ['secrets'], ['create'], 'its certificate'),
    row('system', '', ['secrets'], ['get', 'update'], 'its certificate', ['k8sclaw-webhook-cert']),
  ],
  gateway: [
    row('tenant', '', ['secrets'], ['get'], 'the key of a provider, by the name that a run states; never a list'),
  ],
  keys: [row('system', '', ['secrets'], ['create'], 'what it mints it can neither read nor change afterwards')],
}

/** The role that the controller binds to the gateway; the `tenant` rows. */
export const providerReader = 'k8sclaw-provider-reader'

export interface PeopleRole {
  name: string
  /** The role of every Kubernetes that takes these rules in, and with it whoever is bound to that one. */
  into: 'view' | 'edit' | 'admin'
  rows: readonly Pick<Row, 'group' | 'resources' | 'verbs' | 'why'>[]
}

const write = ['create', 'update', 'patch', 'delete', 'deletecollection']

/** What our kinds add to the roles that people have already. A policy binds its tenants, so editors do not write it. */
export const people: readonly PeopleRole[] = [
  {
    name: 'k8sclaw-view',
    into: 'view',
    rows: [
      {
        group: ours,
        resources: ['agentruns', 'clawinstances', 'clawpolicies', 'skillpacks'],
        verbs: read,
        why: 'none of them holds a secret',
      },
      { group: ours, resources: ['usagereports'], verbs: ['list'], why: 'numbers, and no text' },
    ],
  },
  {
    name: 'k8sclaw-edit',
    into: 'edit',
    rows: [
      {
        group: ours,
        resources: ['agentruns', 'clawinstances', 'skillpacks'],
        verbs: write,
        why: 'what a tenant runs, within the policies that bind it',
      },
      {
        group: ours,
        resources: ['sessions'],
        verbs: ['get', 'list', 'create', 'update', 'delete'],
        why: 'what people said to agents: not for everybody who may look at the objects',
      },
      {
        group: ours,
        resources: ['memories'],
        verbs: ['get', 'list', 'delete', 'deletecollection'],
        why: 'what agents noted of it: likewise; only agents write them',
      },
    ],
  },
  {
    name: 'k8sclaw-admin',
    into: 'admin',
    rows: [
      { group: ours, resources: ['clawpolicies'], verbs: write, why: 'what the agents of a namespace may' },
      { group: ours, resources: ['clawpolicies'], verbs: ['use'], why: 'which policy binds an instance' },
    ],
  },
]

function row(
  scope: Scope,
  group: string,
  resources: readonly string[],
  verbs: readonly string[],
  why: string,
  names?: readonly string[],
): Row {
  return { scope, group, resources, verbs, why, ...(names ? { names } : {}) }
}
