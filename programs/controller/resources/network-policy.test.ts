import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { instance } from '../testing/objects.ts'
import { channelChildren } from './channel.ts'
import { runNetworkPolicySpec } from './network-policy.ts'

/**
 * Reads the NetworkPolicies of the platform and of a tenant as a network would: what selects nothing denies nothing,
 * what is selected may do what some rule allows, and a connection needs both ends. Whether a network does so is not
 * asked here; whether what is written means what was meant is.
 */
interface Selector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }[]
}
interface Rule {
  from?: Peer[]
  to?: Peer[]
  ports?: { protocol: string; port: number }[]
}
interface Peer {
  podSelector?: Selector
  namespaceSelector?: Selector
  ipBlock?: { cidr: string; except?: string[] }
}
interface Policy {
  namespace: string
  spec: { podSelector: Selector; policyTypes: string[]; ingress?: Rule[]; egress?: Rule[] }
}
interface Workload {
  metadata: { name: string }
  spec: { template: { metadata: { labels: Record<string, string> }; spec: { containers: Container[] } } }
}
interface Container {
  ports?: { containerPort: number }[]
}

/** A pod, or an address outside all of them. */
type End = { namespace: string; labels: Record<string, string> } | { ip: string }

const root = join(import.meta.dirname, '..', '..', '..', 'config')
const read = (...files: string[]) =>
  files.flatMap((file) =>
    parseAllDocuments(readFileSync(join(root, file), 'utf8')).map(
      (document) => document.toJS() as Workload & { kind: string; spec: Policy['spec'] },
    ),
  )
const system = 'k8sclaw-system'
const images = { telegram: 't', slack: 's', discord: 'd', whatsapp: 'w' }
/** A channel of instance helper: the labels of its pod, and its NetworkPolicy. */
function channelOf(type: 'telegram' | 'discord') {
  const channel = { name: type, type, secretRef: { name: 'bot' }, access: { mode: 'open', groups: 'never' } } as const
  const settings = { images, identityUrl: 'http://i', busUrl: 'nats://b', systemNamespace: system }
  const [policy] = channelChildren(instance(), channel, settings)
  const end: End = { namespace: 'team', labels: policy?.object.metadata.labels ?? {} }
  return { end, policy: { namespace: 'team', spec: policy?.object.spec as Policy['spec'] } }
}
const telegram = channelOf('telegram')
const discord = channelOf('discord')
const policies: Policy[] = [
  ...read('network/policies.yaml').map(({ spec }) => ({ namespace: system, spec })),
  { namespace: 'team', spec: runNetworkPolicySpec(system, undefined) as unknown as Policy['spec'] },
  telegram.policy,
  discord.policy,
]
const workloads = read(
  ...['manager/controller.yaml', 'manager/apiserver.yaml', 'manager/gateway.yaml', 'nats/nats.yaml', 'nats/keys.yaml'],
  'webhook/webhook.yaml',
).filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job'].includes(kind))

function matches(selector: Selector, labels: Record<string, string>): boolean {
  const plain = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  const expressions = (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key in labels
    if (operator === 'DoesNotExist') return !(key in labels)
    return values.includes(labels[key] ?? '') === (operator === 'In')
  })
  return plain && expressions
}

function isPeer(peer: Peer, end: End, home: string): boolean {
  if (peer.ipBlock) {
    if (!('ip' in end)) return false
    // Enough for these tables: the whole of a family, without some of it.
    const within = (cidr: string) =>
      cidr.endsWith('/0') || end.ip.startsWith(cidr.replace(/(\.0)*\/\d+$|:?:\/\d+$/, ''))
    const sameFamily = peer.ipBlock.cidr.includes(':') === end.ip.includes(':')
    return sameFamily && within(peer.ipBlock.cidr) && !peer.ipBlock.except?.some(within)
  }
  if ('ip' in end) return false
  const namespaceLabels = { 'kubernetes.io/metadata.name': end.namespace }
  const inNamespace = peer.namespaceSelector ? matches(peer.namespaceSelector, namespaceLabels) : end.namespace === home
  return inNamespace && (!peer.podSelector || matches(peer.podSelector, end.labels))
}

function admits(direction: 'Ingress' | 'Egress', of: End, other: End, port: number): boolean {
  if ('ip' in of) return true
  const selecting = policies.filter(
    ({ namespace, spec }) =>
      namespace === of.namespace && spec.policyTypes.includes(direction) && matches(spec.podSelector, of.labels),
  )
  if (selecting.length === 0) return true
  return selecting.some(({ namespace, spec }) =>
    (direction === 'Ingress' ? (spec.ingress ?? []) : (spec.egress ?? [])).some(({ from, to, ports }) => {
      const peers = from ?? to
      const peer = !peers || peers.some((one) => isPeer(one, other, namespace))
      return peer && (!ports || ports.some((one) => one.port === port))
    }),
  )
}

const reaches = (from: End, to: End, port: number) =>
  admits('Egress', from, to, port) && admits('Ingress', to, from, port)

const program = (name: string): End => ({ namespace: system, labels: { 'app.kubernetes.io/name': `k8sclaw-${name}` } })
const run: End = { namespace: 'team', labels: { 'k8sclaw.io/run-uid': 'uid', 'k8sclaw.io/instance': 'bot' } }
const neighbour: End = { namespace: 'team', labels: { app: 'shop' } }
const ports = { nats: 4222, gateway: 8080, controller: 8082, apiserver: 8080, webhook: 9443 } as const

describe('the policies of the platform', () => {
  it('select pods that exist, at ports that they have', () => {
    const served = Object.fromEntries(
      workloads.map(({ metadata, spec: { template } }) => {
        expect(template.metadata.labels['app.kubernetes.io/name']).toBe(metadata.name)
        return [metadata.name, template.spec.containers.flatMap(({ ports = [] }) => ports.map((p) => p.containerPort))]
      }),
    )
    for (const [name, port] of Object.entries(ports)) expect(served[`k8sclaw-${name}`]).toContain(port)
    const named = JSON.stringify(policies).match(/k8sclaw-(?!system)[a-z]+/g) ?? []
    expect(new Set(named)).toEqual(new Set(Object.keys(served)))
  })

  it.each<[string, End, string[]]>([
    ['a run', run, ['nats', 'gateway', 'controller']],
    ['a channel', telegram.end, ['nats', 'controller']],
    ['a neighbour of a run', neighbour, ['apiserver', 'webhook']],
    ['the bus', program('nats'), []],
    ['the controller', program('controller'), ['nats']],
    ['our API server', program('apiserver'), ['nats', 'controller']],
    ['the gateway', program('gateway'), ['nats', 'controller']],
    ['the webhook', program('webhook'), []],
    ['the Job of the keys', program('keys'), []],
  ])('let %s reach of the platform what it needs and no more', (_, from, expected) => {
    const reached = Object.entries(ports).filter(([name, port]) => reaches(from, program(name), port))
    expect(reached.map(([name]) => name)).toEqual(expected)
  })

  it.each<[string, End, number, boolean, boolean]>([
    ['DNS', { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } }, 53, false, true],
    ['the API server of Kubernetes', { ip: '10.0.0.1' }, 6443, false, true],
    ['the internet', { ip: '203.0.113.7' }, 443, false, true],
    ['the metadata service', { ip: '169.254.169.254' }, 80, false, false],
    ['the metadata service over TLS', { ip: '169.254.169.254' }, 443, false, false],
    ['the metadata service by IPv6', { ip: 'fd00:ec2::254' }, 80, false, false],
    ['a model in the cluster', { namespace: 'models', labels: {} }, 11434, false, true],
    ['the monitor of the bus', program('nats'), 8222, false, false],
    ['another run', run, 8088, false, false],
    ['a neighbour of the run', neighbour, 80, false, true],
  ])('%s', (_, to, port, byRun, byGateway) => {
    expect([reaches(run, to, port), reaches(program('gateway'), to, port)]).toEqual([byRun, byGateway])
  })

  it.each<[string, End, number, boolean]>([
    ['the internet over TLS', { ip: '203.0.113.7' }, 443, true],
    ['the internet otherwise', { ip: '203.0.113.7' }, 80, false],
    ['DNS', { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } }, 53, true],
    ['the API server of Kubernetes', { ip: '10.0.0.1' }, 443, false],
    ['the metadata service', { ip: '169.254.169.254' }, 443, false],
    ['a machine of the same network', { ip: '192.168.1.1' }, 443, false],
    ['a machine of the same network by IPv6', { ip: 'fc00::1' }, 443, false],
    ['a pod', neighbour, 443, false],
    ['another channel', discord.end, 8080, false],
  ])('let a channel reach %s at %#', (_, to, port, expected) => {
    expect(reaches(telegram.end, to, port)).toBe(expected)
  })

  it('let services call the channels that they call, and nobody ask a channel for its metrics but what scrapes', () => {
    for (const from of [{ ip: '203.0.113.7' }, neighbour]) {
      expect(reaches(from, telegram.end, 8080)).toBe(true)
      expect(reaches(from, discord.end, 8080)).toBe(false)
      expect(reaches(from, telegram.end, 9464)).toBe(false)
    }
  })

  it('let nobody reach a run', () => {
    for (const from of [run, neighbour, program('gateway'), program('controller')]) {
      expect(reaches(from, run, 8088)).toBe(false)
    }
  })
})
