import { runUidLabel } from './job.ts'

/** Which part of the platform a pod belongs to. */
const programLabel = 'app.kubernetes.io/name'
const namespaceLabel = 'kubernetes.io/metadata.name'

/** A bus beyond the cluster: runs may reach these addresses at this port. */
export interface ExternalBus {
  cidrs: readonly string[]
  port: number
}

/**
 * What the pods of runs may reach: the bus, the gateway and the identity endpoint, and nothing may reach them. No DNS,
 * which is a channel out. All containers of a pod share its network, so whatever is open here answers nobody without a
 * credential. Ports are those of the pods, because a policy is applied after a Service's address is translated.
 */
export function runNetworkPolicySpec(systemNamespace: string, externalBus: ExternalBus | undefined) {
  const to = (program: string, port: number) => ({
    to: [
      {
        namespaceSelector: { matchLabels: { [namespaceLabel]: systemNamespace } },
        podSelector: { matchLabels: { [programLabel]: `k8sclaw-${program}` } },
      },
    ],
    ports: [{ protocol: 'TCP', port }],
  })
  return {
    podSelector: { matchExpressions: [{ key: runUidLabel, operator: 'Exists' }] },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [],
    egress: [
      to('nats', 4222),
      to('gateway', 8080),
      to('controller', 8082),
      ...(externalBus
        ? [
            {
              to: externalBus.cidrs.map((cidr) => ({ ipBlock: { cidr } })),
              ports: [{ protocol: 'TCP', port: externalBus.port }],
            },
          ]
        : []),
    ],
  }
}
