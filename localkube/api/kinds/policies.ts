import { objectAt, stringAt } from '../json.ts'
import { anyObject, integer, intOrString, list, object, string, time } from '../schema/schema.ts'
import { age, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { labelSelector, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'

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
