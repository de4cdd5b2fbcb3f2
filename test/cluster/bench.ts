/**
 * `node test/cluster/run.ts bench`: what a run costs on the real node. coldRun is AgentRun created to the agent's first
 * model request, as the bridge recorded it; its floor is a bare Job with a native sidecar, both of them the program that
 * only waits, created to seen running. coldRunWithoutSandbox has as many containers as that floor. The other shapes of
 * bare Jobs say what of it Kubernetes takes for any pod of that kind, and coldRunOverShape holds the same runs against
 * static programs in the shape of a run's pod, with its volumes (docs/adr/0009): at most 1.6 times. apiWritesPerRun are the platform's writes in the
 * audit log, leases left out.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AgentRun, agentRuns } from '#core/kinds'
import type { Kube } from '#core/kube'
import { figure, median } from '../../bench/figures.ts'
import { run } from '../support/objects.ts'
import { shapes, timeOf } from './bare-jobs.ts'
import { startTestCluster, type TestCluster } from './cluster.ts'
import { isOver } from './objects.ts'

const times = 12

const cluster = await startTestCluster()
try {
  if (!cluster.node) throw new Error('only a node of its own has the image of the floor and an audit log')
  const { auditLog, token } = cluster.node.kubernetes
  const { kube } = cluster
  cluster.make('deploy')
  await cluster.kubectl(['apply', '-f', resolve(import.meta.dirname, '../../config/samples')])
  await cluster.apply(...withoutSandbox())
  await over(cluster, 'sample')
  await coldRun(cluster, kube, token, 'first-plain', 'plain')
  const logs = (pod: string) => cluster.kubectl(['logs', pod, '-c', 'main'])
  const samples: Record<string, number[]> = {}
  const take = (name: string, value: number) => {
    samples[name] = [...(samples[name] ?? []), value]
  }
  for (let i = 0; i < times; i++) {
    for (const [name, shape] of Object.entries(shapes)) {
      take(name, await timeOf(kube, `${name.toLowerCase()}-${i}`, shape, logs))
      // Until the pod before is gone.
      await sleep(2_000)
    }
    const before = writesIn(auditLog)
    take('coldRun', await coldRun(cluster, kube, token, `cold-${i}`, 'sample'))
    // What follows the end of a run: its Job's, and the instance's count.
    await sleep(5_000)
    take('apiWritesPerRun', writesIn(auditLog) - before)
    take('coldRunWithoutSandbox', await coldRun(cluster, kube, token, `plain-${i}`, 'plain'))
    await sleep(5_000)
  }
  const floor = median(samples.bareJob ?? [])
  const figures = Object.entries(samples).map(([name, values]) =>
    name === 'apiWritesPerRun' ? [name, figure('writes', values, 8)] : [name, figure('ms', values, floor)],
  )
  figures.push(['coldRunOverShape', figure('ms', samples.coldRun ?? [], median(samples.threeContainers ?? []))])
  console.log(JSON.stringify(Object.fromEntries(figures), undefined, 2))
} finally {
  await cluster.close()
}

/** An instance like that of the samples, but under a policy that asks for no sandbox, so that its pods have none. */
function withoutSandbox(): object[] {
  const kind = (name: string, spec: object) => ({
    ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: name, metadata: { name: 'plain', namespace: 'default' }, spec },
  })
  const agents = { default: { model: { provider: 'demo', name: 'demo' } } }
  return [kind('ClawPolicy', {}), kind('ClawInstance', { agents, policyRef: { name: 'plain' } })]
}

/** Milliseconds from its creation to its first model request. */
async function coldRun(on: TestCluster, kube: Kube, token: string, name: string, instance: string): Promise<number> {
  const createdAt = Date.now()
  await kube.create<AgentRun>(agentRuns, run(name, instance) as AgentRun)
  await over(on, name)
  const { spec } = await on.getJson<{ spec: { clusterIP: string } }>(
    ...['get', 'service', 'k8sclaw-apiserver', '-n', 'k8sclaw-system'],
  )
  const url = `https://${spec.clusterIP}:8080/api/v1/namespaces/default/runs/${name}/events`
  for (const [, type, data = '{}'] of (await text(url, token)).matchAll(/^event: (.*)\ndata: (.*)$/gm)) {
    const { call, at } = JSON.parse(data) as { call?: { tool?: string }; at?: string }
    if (type === 'called' && call?.tool === 'model') return Date.parse(String(at)) - createdAt
  }
  throw new Error(`the run ${name} asked no model`)
}

async function over(on: TestCluster, name: string): Promise<void> {
  for (;;) {
    const { status } = await on.getJson<AgentRun>('get', 'agentrun', name)
    if (status && isOver(status)) return
    await sleep(200)
  }
}

async function text(url: string, token: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
  const response = await new Promise<IncomingMessage>((done, failed) => {
    request(url, { headers, rejectUnauthorized: false }, done).on('error', failed).end()
  })
  let said = ''
  for await (const part of response) said += String(part)
  return said
}

function writesIn(auditLog: string): number {
  interface Entry {
    verb: string
    user: { username: string }
    objectRef?: { resource: string }
  }
  const lines = readFileSync(auditLog, 'utf8').split('\n').filter(Boolean)
  return lines.filter((line) => {
    const { verb, user, objectRef } = JSON.parse(line) as Entry
    const isOurs = user.username.startsWith('system:serviceaccount:k8sclaw-system:')
    const isWrite = ['create', 'update', 'patch', 'delete'].includes(verb)
    const asks = ['leases', 'tokenreviews', 'subjectaccessreviews']
    return isOurs && isWrite && !asks.includes(objectRef?.resource ?? '')
  }).length
}
