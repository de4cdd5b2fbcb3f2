/**
 * `node test/cluster/run.ts bench`: what a run costs on the real node. coldRun is AgentRun created to the agent's first
 * model request, as the bridge recorded it; its floor is a bare Job with a native sidecar, both of them the program that
 * only waits, created to seen running. apiWritesPerRun are the platform's writes in the audit log, leases left out.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AgentRun, agentRuns } from '#core/kinds'
import { Informer, type Job, jobs, type Kube, loadKube, type Pod, pods } from '#core/kube'
import { figure, median } from '../../bench/figures.ts'
import { run } from '../support/objects.ts'
import { startTestCluster, type TestCluster } from './cluster.ts'
import { pauseImage } from './images.ts'
import { isOver } from './objects.ts'

const times = 12

const cluster = await startTestCluster()
try {
  if (!cluster.node) throw new Error('only a node of its own has the image of the floor and an audit log')
  const { kubeconfig, auditLog, token } = cluster.node.kubernetes
  cluster.make('deploy')
  await cluster.kubectl(['apply', '-f', resolve(import.meta.dirname, '../../config/samples')])
  const kube = await loadKube({ env: { KUBECONFIG: kubeconfig } })
  await over(cluster, 'sample')
  const floors: number[] = []
  const runs: number[] = []
  const writes: number[] = []
  for (let i = 0; i < times; i++) {
    floors.push(await bareJob(kube, `floor-${i}`))
    const before = writesIn(auditLog)
    runs.push(await coldRun(cluster, kube, token, `cold-${i}`))
    // What follows the end of a run: its Job's, and the instance's count.
    await sleep(5_000)
    writes.push(writesIn(auditLog) - before)
  }
  kube.close()
  const figures = { coldRun: figure('ms', runs, median(floors)), apiWritesPerRun: figure('writes', writes, 8) }
  console.log(JSON.stringify({ ...figures, floor: figure('ms', floors, median(floors)) }, undefined, 2))
} finally {
  await cluster.close()
}

/** Milliseconds from its creation to the main container seen running. */
async function bareJob(kube: Kube, name: string): Promise<number> {
  const done = new AbortController()
  const informer = new Informer<Pod>(kube, pods, { namespace: 'default' })
  const seen = Promise.withResolvers<number>()
  const look = ({ metadata, status }: Pod) => {
    const state = status?.containerStatuses?.find((container) => container.name === 'main')?.state
    if (metadata.labels?.['job-name'] === name && state?.running) seen.resolve(Date.now())
  }
  informer.on({ add: look, update: look })
  const running = informer.run(done.signal)
  await informer.synced()
  const createdAt = Date.now()
  const waits = {
    image: pauseImage,
    imagePullPolicy: 'IfNotPresent',
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  }
  await kube.create<Job>(jobs, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'default' },
    spec: {
      template: {
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: 1,
          securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
          initContainers: [{ name: 'sidecar', restartPolicy: 'Always', ...waits }],
          containers: [{ name: 'main', ...waits }],
        },
      },
    },
  })
  const at = await seen.promise
  await kube.delete(jobs, { name, namespace: 'default' })
  done.abort()
  await running
  return at - createdAt
}

/** Milliseconds from its creation to its first model request. */
async function coldRun(on: TestCluster, kube: Kube, token: string, name: string): Promise<number> {
  const createdAt = Date.now()
  await kube.create<AgentRun>(agentRuns, run(name, 'sample') as AgentRun)
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
