import { isObject, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, invalid, required } from '../schema/index.ts'
import { anyObject, boolean, integer, intOrString, keyedList, list, map, object, string } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { conditions, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'
import { unappliedOfService } from './unapplied.ts'

export const services: Kind = defineKind({
  group: '',
  version: 'v1',
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
  const errors = unappliedOfService(it, old)
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
