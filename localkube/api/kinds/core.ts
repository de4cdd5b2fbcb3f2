import { ApiError } from '../api-error.ts'
import { listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, invalid, required, tooLong } from '../schema/index.ts'
import {
  any,
  anyObject,
  boolean,
  integer,
  keyedList,
  list,
  map,
  object,
  quantity,
  string,
  time,
} from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, name, sinceText } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { conditions, labelSelector, localReference, objectReference, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'
import { resourceRequirements } from './pod-schema.ts'

const core = { group: '', version: 'v1' }

/** Without these the cluster has no place for what is its own. */
const permanent = new Set(['default', 'kube-system'])

export const namespaces: Kind = defineKind({
  ...core,
  kind: 'Namespace',
  plural: 'namespaces',
  shortNames: ['ns'],
  namespaced: false,
  nameRule: 'label',
  hasStatus: true,
  schema: wholeObject(
    { spec: object({ finalizers: list(string) }), status: object({ phase: string, conditions }) },
    'A part of the cluster that names, roles and quotas are scoped to.',
  ),
  columns: [name, { name: 'Status', type: 'string', value: (it) => stringAt(it, 'status', 'phase') }, age],
  behaviour: {
    defaults(it) {
      const metadata = objectAt(it, 'metadata')
      metadata.labels = { ...objectAt(metadata, 'labels'), 'kubernetes.io/metadata.name': metadata.name }
    },
    onCreate(it) {
      it.spec = { finalizers: ['kubernetes'] }
      it.status = { phase: 'Active' }
    },
    onUpdate(it, old) {
      it.spec = structuredClone(old.spec)
    },
    onDelete(it) {
      const { name: namespace } = it.metadata
      if (permanent.has(namespace)) {
        const message = `namespaces "${namespace}" is forbidden: this namespace may not be deleted`
        throw new ApiError(403, 'Forbidden', message, { name: namespace, kind: 'namespaces' })
      }
      it.status = { ...objectAt(it, 'status'), phase: 'Terminating' }
    },
    isHeld: (it) => listAt(it, 'spec', 'finalizers').length > 0,
    fields: (it) => ({ 'status.phase': stringAt(it, 'status', 'phase') }),
  },
})

export const serviceAccounts: Kind = defineKind({
  ...core,
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  shortNames: ['sa'],
  schema: wholeObject(
    {
      secrets: keyedList('name', objectReference),
      imagePullSecrets: list(localReference),
      automountServiceAccountToken: boolean,
    },
    'Who a pod is.',
  ),
  columns: [name, { name: 'Secrets', type: 'integer', value: (it) => listAt(it, 'secrets').length }, age],
  subresources: [
    { name: 'token', kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] },
  ],
})

export const events: Kind = defineKind({
  ...core,
  kind: 'Event',
  plural: 'events',
  shortNames: ['ev'],
  schema: wholeObject(
    {
      involvedObject: objectReference,
      reason: string,
      message: string,
      source: object({ component: string, host: string }),
      firstTimestamp: time,
      lastTimestamp: time,
      count: integer,
      type: string,
      eventTime: time,
      series: object({ count: integer, lastObservedTime: time }),
      action: string,
      related: objectReference,
      reportingComponent: string,
      reportingInstance: string,
    },
    'Something that happened to an object. Events are forgotten after an hour.',
  ),
  columns: [
    {
      name: 'Last Seen',
      type: 'string',
      value: (it) => sinceText(it.lastTimestamp ?? it.eventTime ?? it.metadata.creationTimestamp),
    },
    { name: 'Type', type: 'string', value: (it) => stringAt(it, 'type') },
    { name: 'Reason', type: 'string', value: (it) => stringAt(it, 'reason') },
    {
      name: 'Object',
      type: 'string',
      value: (it) =>
        `${stringAt(it, 'involvedObject', 'kind').toLowerCase()}/${stringAt(it, 'involvedObject', 'name')}`,
    },
    { name: 'Message', type: 'string', value: (it) => stringAt(it, 'message').trim() },
    { name: 'Name', type: 'string', format: 'name', priority: 1, value: (it) => it.metadata.name },
  ],
  behaviour: {
    validate: (it) =>
      stringAt(it, 'message').length > 1024 * 1024 ? [tooLong('message', 1024 * 1024)] : validateInvolved(it),
    fields: (it) => ({
      ...Object.fromEntries(
        ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map((field) => [
          `involvedObject.${field}`,
          stringAt(it, 'involvedObject', field),
        ]),
      ),
      reason: stringAt(it, 'reason'),
      type: stringAt(it, 'type'),
      source: stringAt(it, 'source', 'component') || stringAt(it, 'reportingComponent'),
      reportingComponent: stringAt(it, 'reportingComponent'),
    }),
  },
})

export const nodes: Kind = defineKind({
  ...core,
  kind: 'Node',
  plural: 'nodes',
  shortNames: ['no'],
  namespaced: false,
  hasStatus: true,
  schema: wholeObject(
    {
      spec: object({
        podCIDR: string,
        podCIDRs: list(string),
        providerID: string,
        unschedulable: boolean,
        taints: list(object({ key: string, value: string, effect: string, timeAdded: time }, ['key', 'effect'])),
      }),
      status: object({
        capacity: map(quantity),
        allocatable: map(quantity),
        phase: string,
        conditions,
        addresses: keyedList('type', object({ type: string, address: string })),
        daemonEndpoints: anyObject,
        nodeInfo: anyObject,
        images: list(anyObject),
        volumesInUse: list(string),
        runtimeHandlers: any,
        features: anyObject,
      }),
    },
    'The machine that pods run on.',
  ),
  columns: [
    name,
    { name: 'Status', type: 'string', value: nodeStatus },
    {
      name: 'Roles',
      type: 'string',
      value: (it) =>
        Object.keys(it.metadata.labels ?? {})
          .filter((key) => key.startsWith('node-role.kubernetes.io/'))
          .map((key) => key.slice(key.indexOf('/') + 1))
          .join(',') || '<none>',
    },
    age,
    { name: 'Version', type: 'string', value: (it) => stringAt(it, 'status', 'nodeInfo', 'kubeletVersion') },
  ],
  behaviour: {
    fields: (it) => ({ 'spec.unschedulable': String(objectAt(it, 'spec').unschedulable === true) }),
  },
})

export const persistentVolumeClaims: Kind = defineKind({
  ...core,
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  shortNames: ['pvc'],
  hasStatus: true,
  schema: wholeObject(
    {
      spec: object({
        accessModes: list(string),
        selector: labelSelector,
        resources: resourceRequirements,
        volumeName: string,
        storageClassName: string,
        volumeMode: string,
        dataSource: anyObject,
        dataSourceRef: anyObject,
        volumeAttributesClassName: string,
      }),
      status: object({ phase: string, accessModes: list(string), capacity: map(quantity), conditions }),
    },
    'Asks for a folder that outlives its pods.',
  ),
  columns: [
    name,
    { name: 'Status', type: 'string', value: (it) => stringAt(it, 'status', 'phase') },
    { name: 'Volume', type: 'string', value: (it) => stringAt(it, 'spec', 'volumeName') },
    { name: 'Capacity', type: 'string', value: (it) => stringAt(it, 'status', 'capacity', 'storage') },
    { name: 'Access Modes', type: 'string', value: (it) => listAt(it, 'spec', 'accessModes').join(',') },
    { name: 'StorageClass', type: 'string', value: (it) => stringAt(it, 'spec', 'storageClassName') },
    age,
  ],
  behaviour: {
    defaults: (it) => setDefaults(objectAt(it, 'spec'), { volumeMode: 'Filesystem' }),
    onCreate(it) {
      it.status = { phase: 'Pending' }
    },
    validate: (it) =>
      listAt(it, 'spec', 'accessModes').length === 0
        ? [required('spec.accessModes', 'at least 1 access mode is required')]
        : [],
  },
})

function validateInvolved(it: KubeObject): FieldError[] {
  const namespace = stringAt(it, 'involvedObject', 'namespace') || 'default'
  return namespace === it.metadata.namespace
    ? []
    : [invalid('involvedObject.namespace', namespace, 'does not match event.namespace')]
}

function nodeStatus(node: KubeObject): string {
  const ready = listAt(node, 'status', 'conditions').find((c) => stringAt(c, 'type') === 'Ready')
  const text = stringAt(ready, 'status') === 'True' ? 'Ready' : ready ? 'NotReady' : 'Unknown'
  return objectAt(node, 'spec').unschedulable === true ? `${text},SchedulingDisabled` : text
}
