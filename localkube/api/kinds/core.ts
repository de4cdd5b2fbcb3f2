import { equal, isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, forbidden, invalid, required, tooLong } from '../schema/index.ts'
import {
  any,
  anyObject,
  boolean,
  bytes,
  described,
  integer,
  intOrString,
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
      it.status = { ...objectAt(it, 'status'), phase: 'Terminating' }
    },
    isHeld: (it) => listAt(it, 'spec', 'finalizers').length > 0,
    fields: (it) => ({ 'status.phase': stringAt(it, 'status', 'phase') }),
  },
})

/** What Secrets and ConfigMaps may hold together, as etcd would. */
const maxData = 1024 * 1024

export const secrets: Kind = defineKind({
  ...core,
  kind: 'Secret',
  plural: 'secrets',
  schema: wholeObject(
    {
      data: map(bytes),
      stringData: described(map(string), 'Written only: plain text that ends up in data.'),
      type: string,
      immutable: boolean,
    },
    'Small confidential values: keys, tokens, certificates.',
  ),
  columns: [
    name,
    { name: 'Type', type: 'string', value: (it) => stringAt(it, 'type') },
    { name: 'Data', type: 'integer', value: (it) => Object.keys(objectAt(it, 'data')).length },
    age,
  ],
  behaviour: {
    defaults(it) {
      const plain = Object.entries(objectAt(it, 'stringData'))
      if (plain.length > 0) {
        const encoded = plain.map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')])
        it.data = { ...objectAt(it, 'data'), ...Object.fromEntries(encoded) }
      }
      delete it.stringData
      setDefaults(it, { type: 'Opaque' })
    },
    validate(it, old) {
      const errors = validateData(objectAt(it, 'data'), 'data', (value) => Buffer.byteLength(value, 'base64'))
      for (const [key, value] of Object.entries(objectAt(it, 'data'))) {
        if (!isBase64(value)) errors.push(invalid(`data[${key}]`, '', 'must be base64'))
      }
      if (old && it.type !== old.type) errors.push(invalid('type', it.type, 'field is immutable'))
      return [...errors, ...validateImmutable(it, old, ['data'])]
    },
    fields: (it) => ({ type: stringAt(it, 'type') }),
  },
})

export const configMaps: Kind = defineKind({
  ...core,
  kind: 'ConfigMap',
  plural: 'configmaps',
  shortNames: ['cm'],
  schema: wholeObject(
    { data: map(string), binaryData: map(bytes), immutable: boolean },
    'Settings and files for pods.',
  ),
  columns: [
    name,
    {
      name: 'Data',
      type: 'integer',
      value: (it) => Object.keys(objectAt(it, 'data')).length + Object.keys(objectAt(it, 'binaryData')).length,
    },
    age,
  ],
  behaviour: {
    validate: (it, old) => [
      ...validateData(objectAt(it, 'data'), 'data', (value) => Buffer.byteLength(value)),
      ...validateData(objectAt(it, 'binaryData'), 'binaryData', (value) => Buffer.byteLength(value, 'base64')),
      ...validateImmutable(it, old, ['data', 'binaryData']),
    ],
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

export const services: Kind = defineKind({
  ...core,
  kind: 'Service',
  plural: 'services',
  shortNames: ['svc'],
  categories: ['all'],
  nameRule: 'serviceLabel',
  hasStatus: true,
  schema: wholeObject(
    {
      spec: object({
        ports: keyedList(
          'port',
          object(
            {
              name: string,
              protocol: string,
              appProtocol: string,
              port: integer,
              targetPort: intOrString,
              nodePort: integer,
            },
            ['port'],
          ),
        ),
        selector: map(string),
        clusterIP: string,
        clusterIPs: list(string),
        type: string,
        externalIPs: list(string),
        sessionAffinity: string,
        sessionAffinityConfig: anyObject,
        loadBalancerIP: string,
        loadBalancerSourceRanges: list(string),
        loadBalancerClass: string,
        allocateLoadBalancerNodePorts: boolean,
        externalName: string,
        externalTrafficPolicy: string,
        internalTrafficPolicy: string,
        healthCheckNodePort: integer,
        publishNotReadyAddresses: boolean,
        ipFamilies: list(string),
        ipFamilyPolicy: string,
        trafficDistribution: string,
      }),
      status: object({ loadBalancer: anyObject, conditions }),
    },
    'One stable address in front of pods.',
  ),
  columns: [
    name,
    { name: 'Type', type: 'string', value: (it) => stringAt(it, 'spec', 'type') },
    { name: 'Cluster-IP', type: 'string', value: (it) => stringAt(it, 'spec', 'clusterIP') || '<none>' },
    { name: 'External-IP', type: 'string', value: () => '<none>' },
    {
      name: 'Port(s)',
      type: 'string',
      value: (it) =>
        listAt(it, 'spec', 'ports')
          .map((port) => `${String(objectAt(port).port)}/${stringAt(port, 'protocol')}`)
          .join(',') || '<none>',
    },
    age,
    {
      name: 'Selector',
      type: 'string',
      priority: 1,
      value: (it) =>
        Object.entries(objectAt(it, 'spec', 'selector'))
          .map(([key, value]) => `${key}=${String(value)}`)
          .join(',') || '<none>',
    },
  ],
  subresources: [{ name: 'proxy', kind: 'ServiceProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] }],
  behaviour: {
    defaults(it) {
      const spec = objectAt(it, 'spec')
      setDefaults(spec, { type: 'ClusterIP', sessionAffinity: 'None' })
      if (spec.type === 'ClusterIP') setDefaults(spec, { internalTrafficPolicy: 'Cluster' })
      for (const port of listAt(spec, 'ports').filter(isObject)) {
        setDefaults(port, { protocol: 'TCP', targetPort: port.port })
      }
    },
    onCreate(it) {
      it.status = { loadBalancer: {} }
    },
    onUpdate(it, old) {
      const before = objectAt(old, 'spec')
      const { clusterIP, clusterIPs, ipFamilies, ipFamilyPolicy } = before
      const kept = Object.entries({ clusterIP, clusterIPs, ipFamilies, ipFamilyPolicy }).filter(
        ([, v]) => v !== undefined,
      )
      setDefaults(objectAt(it, 'spec'), Object.fromEntries(kept))
    },
    validate: validateService,
    fields: (it) => ({
      'spec.clusterIP': stringAt(it, 'spec', 'clusterIP'),
      'spec.type': stringAt(it, 'spec', 'type'),
    }),
  },
})

function validateService(it: KubeObject, old: KubeObject | undefined): FieldError[] {
  const spec = objectAt(it, 'spec')
  const errors: FieldError[] = []
  const ports = listAt(spec, 'ports')
  if (spec.type !== 'ClusterIP') {
    const detail =
      'a single machine has no other Services than ClusterIP; use `kubectl proxy` or a Service of that type'
    errors.push({ reason: 'FieldValueNotSupported', field: 'spec.type', detail: `Unsupported value: ${detail}` })
  }
  if (ports.length === 0 && spec.clusterIP !== 'None') errors.push(required('spec.ports'))
  for (const [index, port] of ports.entries()) {
    const number = objectAt(port).port
    if (typeof number !== 'number' || number < 1 || number > 65_535) {
      errors.push(invalid(`spec.ports[${index}].port`, number, 'must be between 1 and 65535, inclusive'))
    }
    if (ports.length > 1 && stringAt(port, 'name') === '') errors.push(required(`spec.ports[${index}].name`))
  }
  if (old && spec.clusterIP !== objectAt(old, 'spec').clusterIP) {
    errors.push(invalid('spec.clusterIPs[0]', spec.clusterIP, 'may not change once set'))
  }
  return errors
}

function validateInvolved(it: KubeObject): FieldError[] {
  const namespace = stringAt(it, 'involvedObject', 'namespace') || 'default'
  return namespace === it.metadata.namespace
    ? []
    : [invalid('involvedObject.namespace', namespace, 'does not match event.namespace')]
}

function validateData(data: Json, field: string, sizeOf: (value: string) => number): FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(data)) {
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === '.' || key.startsWith('..')) {
      errors.push(
        invalid(
          `${field}[${key}]`,
          key,
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
      )
    }
    size += typeof value === 'string' ? sizeOf(value) : 0
  }
  if (size > maxData) errors.push(tooLong(field, maxData))
  return errors
}

function isBase64(value: unknown): boolean {
  return typeof value === 'string' && /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)
}

function validateImmutable(it: KubeObject, old: KubeObject | undefined, fields: string[]): FieldError[] {
  if (old?.immutable !== true) return []
  const sentence = 'field is immutable when `immutable` is set'
  return [
    ...(it.immutable === true ? [] : [forbidden('immutable', sentence)]),
    ...fields.filter((field) => !equal(it[field], old[field])).map((field) => forbidden(field, sentence)),
  ]
}

function nodeStatus(node: KubeObject): string {
  const ready = listAt(node, 'status', 'conditions').find((c) => stringAt(c, 'type') === 'Ready')
  const text = stringAt(ready, 'status') === 'True' ? 'Ready' : ready ? 'NotReady' : 'Unknown'
  return objectAt(node, 'spec').unschedulable === true ? `${text},SchedulingDisabled` : text
}
