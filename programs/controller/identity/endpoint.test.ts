import type { AddressInfo } from 'node:net'
import { type ServerType, serve } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createUserKey, identityResponse, mintBusKeys, verifyRunToken } from '#core/identity'
import { type AgentRun, agentRuns, clawInstances, type KubeObject } from '#core/kinds'
import {
  deployments,
  type Job,
  jobs,
  namespaces,
  ownerReference,
  type Pod,
  pods,
  replicaSets,
  serviceAccounts,
} from '#core/kube'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../../test/support/cluster.ts'
import { channelName } from '../resources/channel.ts'
import { effective } from '../testing/objects.ts'
import { identityEndpoint } from './endpoint.ts'
import { RateLimit } from './rate.ts'

const log = createLogger('test')
log.level = 'silent'
const keys = mintBusKeys()
const namespace = 'team'
const userPublicKey = createUserKey().publicKey
let cluster: TestCluster
let server: ServerType
let url = ''

beforeAll(async () => {
  cluster = await startCluster()
  const { admin } = cluster
  await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  for (const name of ['k8sclaw-run', 'other']) {
    await admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } })
  }
  const kube = await cluster.as('k8sclaw-system', 'k8sclaw-controller')
  const app = identityEndpoint({ kube, keys, systemNamespace: 'k8sclaw-system', log, ready: () => true })
  await new Promise<void>((resolve) => {
    server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve())
  })
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.close()
  await cluster.close()
})

async function post(token: string | undefined, body: unknown = { userPublicKey }) {
  return await fetch(`${url}/v1/identity`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

let count = 0
/** A run that is Running, its Job and its pod, with what a test wants otherwise. */
async function runPod(
  change: { status?: object; job?: Partial<Job['metadata']>; pod?: Partial<Pod['metadata']>; account?: string } = {},
): Promise<Pod> {
  const { admin } = cluster
  const name = `run-${++count}`
  const spec = { instanceRef: { name: 'helper' }, agent: 'default', task: 't' }
  const run = await admin.create<AgentRun>(agentRuns, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'AgentRun',
    metadata: { name, namespace },
    spec,
  })
  const status = { phase: 'Running', jobName: `${name}-job`, attempt: 1, effective, ...change.status }
  await admin.patch(agentRuns, run.metadata, { status }, 'status')
  const template = {
    metadata: {},
    spec: { restartPolicy: 'Never', containers: [{ name: 'agent', image: 'x' }] },
  }
  const job = await admin.create<Job>(jobs, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: `${name}-job`, namespace, ownerReferences: [ownerReference(run)], ...change.job },
    spec: { template },
  })
  return await admin.create<Pod>(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${name}-pod`, namespace, ownerReferences: [ownerReference(job)], ...change.pod },
    spec: { ...template.spec, serviceAccountName: change.account ?? 'k8sclaw-run' },
  })
}

let channelCount = 0
/** An instance with a channel, its Deployment and ReplicaSet, and the pod, with what a test wants otherwise. */
async function channelPod(
  change: { account?: string; deployment?: Partial<KubeObject['metadata']>; pod?: Partial<Pod['metadata']> } = {},
): Promise<{ instance: KubeObject; set: KubeObject; pod: Pod }> {
  const { admin } = cluster
  const instance = await admin.create<KubeObject>(clawInstances, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawInstance',
    metadata: { name: `helper-${++channelCount}`, namespace },
    spec: {
      agents: { default: { model: { provider: 'demo', name: 'demo' } } },
      channels: [
        { name: 'chat', type: 'telegram', secretRef: { name: 'bot' }, access: { mode: 'pairing', groups: 'mention' } },
      ],
    },
  } as KubeObject)
  const name = channelName(instance.metadata.name, { name: 'chat', type: 'telegram' })
  const account = change.account ?? name
  await admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } })
  const labels = { 'k8sclaw.io/instance': instance.metadata.name, 'k8sclaw.io/channel': 'chat' }
  const podSpec = { containers: [{ name: 'channel', image: 'x' }], serviceAccountName: account }
  const spec = { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } }
  const deployment = await admin.create<KubeObject>(deployments, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, ownerReferences: [ownerReference(instance)], ...change.deployment },
    spec,
  } as KubeObject)
  const set = await admin.create<KubeObject>(replicaSets, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: `${name}-1`, namespace, ownerReferences: [ownerReference(deployment)] },
    spec,
  } as KubeObject)
  const pod = await admin.create<Pod>(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${name}-pod`, namespace, labels, ownerReferences: [ownerReference(set)], ...change.pod },
    spec: podSpec,
  })
  return { instance, set, pod }
}

describe('POST /v1/identity', () => {
  it('gives a channel the bus identity of that channel, and no run token', async () => {
    const { instance, pod } = await channelPod()
    const answer = identityResponse.parse(await (await post(await cluster.podToken(pod))).json())
    const claims = Buffer.from(answer.busJwt.split('.')[1] ?? '', 'base64url').toString()
    expect(claims).toContain(`"k8sclaw.team.${instance.metadata.name}.channel.chat.received"`)
    expect(claims).toContain(keys['runs.public'])
    expect(answer).not.toHaveProperty('runToken')
  })

  it('refuses the pod of a channel that is no channel', async () => {
    const status = async (pod: Pod) => (await post(await cluster.podToken(pod))).status
    expect(await status((await channelPod({ account: 'other' })).pod), 'another account').toBe(403)
    expect(await status((await channelPod({ pod: { ownerReferences: [] } })).pod), 'a pod of nobody').toBe(403)
    expect(await status((await channelPod({ deployment: { ownerReferences: [] } })).pod), 'of no instance').toBe(403)
    expect(await status((await channelPod({ deployment: { name: 'mine' } })).pod), 'another Deployment').toBe(403)
    expect(await status((await channelPod({ pod: { labels: {} } })).pod), 'not of the Deployment').toBe(403)
  })

  it('refuses a channel that the instance lists no more, and a pod that somebody adds to its ReplicaSet', async () => {
    const { instance, set, pod } = await channelPod()
    const forged = await cluster.admin.create<Pod>(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'forged-channel',
        namespace,
        labels: pod.metadata.labels ?? {},
        ownerReferences: [ownerReference(set)],
      },
      spec: { ...pod.spec },
    })
    expect((await post(await cluster.podToken(forged))).status).toBe(403)
    await cluster.admin.delete(pods, forged.metadata, { gracePeriodSeconds: 0 })
    expect((await post(await cluster.podToken(pod))).status).toBe(200)
    await cluster.admin.patch(clawInstances, instance.metadata, { spec: { channels: [] } })
    expect((await post(await cluster.podToken(pod))).status).toBe(403)
  })

  it('gives a run its bus identity and its run token', async () => {
    const embeddings = { provider: 'vectors', name: 'v', dimensions: 8, shortened: false, secretRef: { name: 'key' } }
    const bounded = {
      ...{ ...effective, policy: { name: 'my.policy', generation: 2 }, baseURLs: ['https://proxy.example'] },
      memory: { scopes: ['session'], embeddings },
    }
    const pod = await runPod({ status: { effective: bounded } })
    const response = await post(await cluster.podToken(pod))
    expect(response.status).toBe(200)
    const { busJwt, runToken = '' } = identityResponse.parse(await response.json())
    const claims = JSON.parse(Buffer.from(busJwt.split('.')[1] ?? '', 'base64url').toString()) as {
      sub: string
      nats: { pub: { allow: string[] }; sub: { allow: string[] } }
    }
    expect(claims.sub).toBe(userPublicKey)
    expect(claims.nats.pub.allow.some((subject) => subject.startsWith('k8sclaw.team.helper.run.'))).toBe(true)
    expect(claims.nats.pub.allow).toContain('k8sclaw.policy.team.my_policy')
    expect(claims.nats.sub.allow).toContain('k8sclaw.policies.team.my_policy')
    expect(verifyRunToken(keys['run-token.public.pem'], runToken, new Date())).toMatchObject({
      run: 'run-1',
      namespace,
      instance: 'helper',
      provider: 'demo',
      models: ['demo'],
      embeddings: { provider: 'vectors', model: 'v', secretRef: 'key' },
      policy: 'my.policy',
      baseURLs: ['https://proxy.example'],
    })
  })

  it('gives a run that no policy bound no policy to read', async () => {
    const pod = await runPod({ status: { effective: { ...effective, policy: { name: '', generation: 0 } } } })
    const { busJwt, runToken = '' } = identityResponse.parse(await (await post(await cluster.podToken(pod))).json())
    expect(Buffer.from(busJwt.split('.')[1] ?? '', 'base64url').toString()).not.toContain('k8sclaw.polic')
    expect(verifyRunToken(keys['run-token.public.pem'], runToken, new Date())).not.toHaveProperty('policy')
  })

  it('gives gateway and API server an identity of theirs, without a run token', async () => {
    for (const name of ['k8sclaw-gateway', 'k8sclaw-apiserver']) {
      const account = { namespace: 'k8sclaw-system', name }
      const { token } = await cluster.api.client.mintToken(account, { audiences: ['k8sclaw'] })
      const response = await post(token)
      expect(response.status).toBe(200)
      expect(await response.json()).not.toHaveProperty('runToken')
    }
  })

  it('refuses everyone else', async () => {
    const mint = async (ns: string, name: string, audiences = ['k8sclaw']) =>
      (await cluster.api.client.mintToken({ namespace: ns, name }, { audiences })).token
    const good = await runPod()
    const cases: [string, number, string | undefined][] = [
      ['no token', 401, undefined],
      ['not a token', 401, 'nonsense'],
      ['another audience', 401, await cluster.podToken(good, 'another')],
      ['the administrator', 401, cluster.api.adminToken],
      ['a gateway of another namespace', 403, await mint(namespace, 'other')],
      ['a token without a pod', 403, await mint(namespace, 'k8sclaw-run')],
      ['the controller itself', 403, await mint('k8sclaw-system', 'k8sclaw-controller')],
      ['another account of the namespace', 403, await cluster.podToken(await runPod({ account: 'other' }))],
      ['a pod of no Job', 403, await cluster.podToken(await runPod({ pod: { ownerReferences: [] } }))],
      ['a Job of no run', 403, await cluster.podToken(await runPod({ job: { ownerReferences: [] } }))],
      [
        'a Job that the run does not name',
        403,
        await cluster.podToken(await runPod({ status: { jobName: 'the-real-one' } })),
      ],
      ['a run that is over', 403, await cluster.podToken(await runPod({ status: { phase: 'Succeeded' } }))],
      ['a run that has not started', 403, await cluster.podToken(await runPod({ status: { phase: 'Pending' } }))],
    ]
    for (const [who, status, token] of cases) expect((await post(token)).status, who).toBe(status)
  })

  it('refuses a pod that somebody adds to the Job of a run', async () => {
    const labels = (job: string) => ({ 'batch.kubernetes.io/controller-uid': job })
    const real = await runPod()
    const { ownerReferences = [] } = real.metadata
    const job = ownerReferences[0]?.uid ?? ''
    await cluster.admin.patch(pods, real.metadata, { metadata: { labels: labels(job) } })
    const forged = await cluster.admin.create<Pod>(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'forged', namespace, ownerReferences },
      spec: { ...real.spec },
    })
    expect((await post(await cluster.podToken(forged))).status).toBe(403)
    expect((await post(await cluster.podToken(real))).status).toBe(200)
  })

  it('refuses the token of a pod that is gone', async () => {
    const pod = await runPod()
    const token = await cluster.podToken(pod)
    await cluster.admin.delete(pods, pod.metadata, { gracePeriodSeconds: 0 })
    expect([401, 403]).toContain((await post(token)).status)
  })

  it('refuses bodies that are not {userPublicKey}', async () => {
    const token = await cluster.podToken(await runPod())
    expect((await post(token, {})).status).toBe(422)
    expect((await post(token, { userPublicKey, more: 1 })).status).toBe(422)
    expect((await post(token, { userPublicKey: 'SUAM' })).status).toBe(422)
    expect((await post(token, '{')).status).toBe(422)
    expect((await post(token, `{"userPublicKey":"${'U'.repeat(8000)}"}`)).status).toBe(413)
  })
})

describe('RateLimit', () => {
  it('lets a burst pass, then as many as time allows, each key for itself', () => {
    const limit = new RateLimit({ perSecond: 2, burst: 3, maxKeys: 2 })
    expect([1, 2, 3, 4].map(() => limit.take('a', 0))).toEqual([true, true, true, false])
    expect(limit.take('b', 0)).toBe(true)
    expect(limit.take('a', 499)).toBe(false)
    expect(limit.take('a', 500)).toBe(true)
  })
})
