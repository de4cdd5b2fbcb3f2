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
  return {
    podSelector: { matchExpressions: [{ key: runUidLabel, operator: 'Exists' }] },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [],
    egress: [
      toProgram(systemNamespace, 'nats', 4222),
      toProgram(systemNamespace, 'gateway', 8080),
      toProgram(systemNamespace, 'controller', 8082),
      ...toExternalBus(externalBus),
    ],
  }
}

export interface ChannelNetwork {
  systemNamespace: string
  externalBus?: ExternalBus | undefined
  /** Of the channel's pod. */
  labels: Readonly<Record<string, string>>
  /** Where its service calls it; undefined where it never does. */
  callPort: number | undefined
  metricsPort: number
}

/** Addresses that are nobody's on the internet: of clusters, of clouds' own services, of the machine itself. */
const notPublic = {
  v4: [
    ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
    ...['192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
  ],
  v6: ['::/127', 'fc00::/7', 'fe80::/10', 'ff00::/8'],
}

/**
 * What the pod of a channel may reach: the bus, the identity endpoint, names, and its service over TLS on the internet;
 * nothing of the cluster, and no run's gateway. It is reached by whoever carries its service's calls, at that port alone,
 * and by what scrapes.
 */
export function channelNetworkPolicySpec(network: ChannelNetwork) {
  const { systemNamespace, externalBus, labels, callPort, metricsPort } = network
  return {
    podSelector: { matchLabels: { ...labels } },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [
      ...(callPort === undefined ? [] : [{ ports: [{ protocol: 'TCP', port: callPort }] }]),
      {
        from: [
          {
            namespaceSelector: { matchLabels: { 'k8sclaw.io/metrics': 'scrape' } },
            podSelector: { matchExpressions: [{ key: runUidLabel, operator: 'DoesNotExist' }] },
          },
        ],
        ports: [{ protocol: 'TCP', port: metricsPort }],
      },
    ],
    egress: [
      toProgram(systemNamespace, 'nats', 4222),
      toProgram(systemNamespace, 'controller', 8082),
      ...toExternalBus(externalBus),
      {
        // 169.254.20.10 is where a node's own DNS cache listens.
        to: [{ namespaceSelector: {} }, { ipBlock: { cidr: '169.254.20.10/32' } }],
        ports: [
          { protocol: 'UDP', port: 53 },
          { protocol: 'TCP', port: 53 },
        ],
      },
      {
        to: [
          { ipBlock: { cidr: '0.0.0.0/0', except: notPublic.v4 } },
          { ipBlock: { cidr: '::/0', except: notPublic.v6 } },
        ],
        ports: [{ protocol: 'TCP', port: 443 }],
      },
    ],
  }
}

function toProgram(systemNamespace: string, program: string, port: number) {
  return {
    to: [
      {
        namespaceSelector: { matchLabels: { [namespaceLabel]: systemNamespace } },
        podSelector: { matchLabels: { [programLabel]: `k8sclaw-${program}` } },
      },
    ],
    ports: [{ protocol: 'TCP', port }],
  }
}

function toExternalBus(bus: ExternalBus | undefined) {
  if (!bus) return []
  return [{ to: bus.cidrs.map((cidr) => ({ ipBlock: { cidr } })), ports: [{ protocol: 'TCP', port: bus.port }] }]
}
