import { describe, expect, it } from 'vitest'
import type { ClawInstance } from '#core/kinds'
import { allowAll, instance, run } from '../support/objects.ts'
import type { TestCluster } from './cluster.ts'
import { type Attempt, asAgent, asBystander, type Findings } from './intruder.ts'
import { node } from './node.ts'
import { bystander, isOver, nodeAgent, until } from './objects.ts'
import { internet, metadata } from './outside.ts'

interface Service {
  spec: { clusterIP: string }
}
export const refusals = ['no answer', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH']
export const is = (expected: string[]) =>
  expect.toSatisfy((found: string) => expected.includes(found), expected.join(' or '))

export function isolation(current: () => TestCluster): void {
  describe('an agent', () => {
    it('reaches bus, gateway and identity endpoint, which want to know who it is, and nothing else', async () => {
      const cluster = current()
      const { places, doors } = await attemptsIn(cluster)
      await cluster.apply(allowAll(), instance('intruder', nodeAgent(asAgent)))
      await cluster.apply(run('intruder', 'intruder', { task: JSON.stringify({ ...places, ...doors }) }))
      const { phase, result } = await until(cluster, 'intruder', isOver)
      expect(phase).toBe('Succeeded')
      const found = JSON.parse(result ?? '{}') as Findings
      expect(found).toEqual({
        ...Object.fromEntries(Object.keys(places).map((name) => [name, is(refusals)])),
        bus: expect.stringContaining('Authorization Violation'),
        gateway: 'HTTP 401',
        identity: 'HTTP 401',
        bridge: 'HTTP 401',
      })
      // The same attempts by a pod that is no run: the places are there, and the doors are for runs.
      await cluster.apply(bystander('bystander', asBystander({ ...places, ...doors })))
      await cluster.kubectl(['wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/bystander', '--timeout=60s'])
      const seen = JSON.parse(await cluster.kubectl(['logs', 'bystander'])) as Findings
      expect(seen).toEqual({
        ...Object.fromEntries(Object.keys(places).map((name) => [name, is(['connected', 'answered'])])),
        ...Object.fromEntries(Object.keys(doors).map((name) => [name, is(refusals)])),
        ...(seen['the platform'] ? { 'the platform': is(refusals) } : {}),
      })
      await cluster.kubectl(['delete', 'pod', 'bystander', 'neighbour'])
    })
  })

  describe('the canary', () => {
    const isolated = async () => {
      const { status } = await current().getJson<ClawInstance>('get', 'clawinstance', 'intruder')
      const condition = status?.conditions?.find(({ type }) => type === 'Isolated')
      return `${condition?.status} ${condition?.reason}`
    }
    const becomes = (words: string) => expect.poll(isolated, { timeout: 180_000, interval: 1000 }).toBe(words)

    it('says that the network keeps runs in', () => becomes('True Isolated'))

    it('says that it does not, where nobody enforces policies', async ({ skip }) => {
      const { node, kubectl } = current()
      if (!node) return skip('only on a node of its own can the network be changed')
      const look = () => kubectl(['delete', 'job', 'k8sclaw-canary', '--ignore-not-found'])
      await node.kill('cilium-agent')
      await node.start('cilium-agent', '--enable-policy=never')
      await look()
      await becomes('False NetworkOpen')
      await node.kill('cilium-agent')
      await node.start('cilium-agent')
      await look()
      await becomes('True Isolated')
    })
  })
}

/** `places` answer anybody whom the network lets through; `doors` are open to runs, and ask for a credential. */
export async function attemptsIn(cluster: TestCluster) {
  const addressOf = async (name: string, namespace = 'k8sclaw-system') =>
    (await cluster.getJson<Service>('get', 'service', name, '-n', namespace)).spec.clusterIP
  await cluster.apply(bystander('neighbour', "require('node:http').createServer((_, r) => r.end()).listen(8000)"))
  await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/neighbour', '--timeout=60s'])
  const neighbour = await cluster.getJson<{ status: { podIP: string } }>('get', 'pod', 'neighbour')
  const [bus, gateway, identity, names] = await Promise.all([
    addressOf('k8sclaw-nats'),
    addressOf('k8sclaw-gateway'),
    addressOf('k8sclaw-identity'),
    addressOf('kube-dns', 'kube-system'),
  ])
  const to = (host: string, port: number): Attempt => ({ kind: 'connect', host, port })
  const outside: Record<string, Attempt> = {
    'the internet': to(internet, 80),
    'names of the internet': { kind: 'name', host: internet },
    'the metadata address': to(metadata, 80),
    'the kubelet': to(node.address, 10250),
  }
  const places: Record<string, Attempt> = {
    ...(cluster.node ? outside : {}),
    'names of Services': { kind: 'name', host: names },
    'the API server': to(await addressOf('kubernetes', 'default'), 443),
    'a neighbour': to(neighbour.status.podIP, 8000),
  }
  const doors: Record<string, Attempt> = {
    bus: { kind: 'bus', host: bus },
    gateway: { kind: 'request', url: `https://${gateway}:8080/openai/v1/models` },
    identity: { kind: 'request', method: 'POST', url: `https://${identity}:8082/v1/identity` },
    bridge: { kind: 'request', url: 'http://127.0.0.1:8088/openai/v1/models' },
  }
  return { places, doors }
}
