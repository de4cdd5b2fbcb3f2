import { X509Certificate } from 'node:crypto'
import { Agent, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AgentRun, agentRuns, type Unborn } from '#core/kinds'
import { namespaces, secrets } from '#core/kube'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { freePort } from '../../test/support/ports.ts'
import { issueCertificate } from './certificate.ts'
import { serveWebhook, type Webhook } from './serve.ts'
import { bundles, call, configurations, install, secretAddress, secretText, systemNamespace } from './testing.ts'

const pace = { settleMs: 300, overlapMs: 2_000, rereadMs: 100 }
const patience = { timeout: 20_000, interval: 20 }
const day = 86_400_000

let cluster: TestCluster
let stop: AbortController
let replicas: Webhook[]
beforeEach(async () => {
  cluster = await startCluster()
  stop = new AbortController()
  replicas = []
})
afterEach(async () => {
  stop.abort()
  await Promise.all(replicas.map(({ done }) => done))
  await cluster.close()
})

/** A replica as its service account, called at 127.0.0.1. */
async function replica(names = ['127.0.0.1'], port = 0): Promise<number> {
  const webhook = await serveWebhook({
    kube: await cluster.as(systemNamespace, 'k8sclaw-webhook'),
    namespace: systemNamespace,
    listen: { host: '127.0.0.1', port },
    names,
    platform: { isolation: 'bubblewrap', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } },
    log: pino({ level: 'silent' }),
    signal: stop.signal,
    pace,
  })
  replicas.push(webhook)
  return (webhook.server.address() as AddressInfo).port
}

const run = (name: string): Unborn<AgentRun> => ({
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'AgentRun',
  metadata: { name, namespace: 'default' },
  spec: { instanceRef: { name: 'desk' }, agent: 'default', task: 'go' },
})
const ready = () => replicas.map(({ isReady }) => isReady())
const fingerprint = (pem: string) => new X509Certificate(pem).fingerprint256

/** Puts a certificate into the Secret, as a replica would have, so many days ago. */
async function hold(daysAgo: number): Promise<string> {
  const { authority, chain, key } = await issueCertificate(['127.0.0.1'], new Date(Date.now() - daysAgo * day))
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  await cluster.admin.create(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: secretAddress,
    type: 'kubernetes.io/tls',
    data: { 'ca.crt': base64(authority), 'tls.crt': base64(chain), 'tls.key': base64(key) },
  } as never)
  return authority
}

/** Looks again and again, until it is stopped, whether what a replica serves is trusted by every entry there is. */
function watchTrust(ports: number[]) {
  const distrusted: string[] = []
  let looks = 0
  let watching = true
  const loop = async () => {
    while (watching) {
      for (const port of ports) {
        // An API server that reads its configuration a moment late still holds the older bundle.
        const told = await bundles(cluster.admin)
        for (const bundle of new Set(told)) {
          const answer = await call(port, bundle, '/healthz')
          if (typeof answer === 'string') distrusted.push(answer)
          looks++
        }
      }
    }
  }
  const looping = loop()
  return async () => {
    watching = false
    await looping
    return { distrusted, looks }
  }
}

test('replicas that start at once share one certificate, and are ready once every entry trusts it', async () => {
  const ports = await Promise.all([replica(), replica(), replica()])
  expect(ready()).toEqual([false, false, false])
  await install(cluster.admin, `https://127.0.0.1:${ports[0]}`)
  await expect.poll(ready, patience).toEqual([true, true, true])
  const authority = await secretText(cluster.admin, 'ca.crt')
  expect(new Set(await bundles(cluster.admin))).toEqual(new Set([authority]))
  const shown = fingerprint(await secretText(cluster.admin, 'tls.crt'))
  for (const port of ports) expect(await call(port, authority)).toEqual({ status: 200, fingerprint: shown })
})

test('is not ready while one of the configurations is missing or trusts another, and mends what it may', async () => {
  const port = await replica()
  const [mutating, validating] = configurations(`https://127.0.0.1:${port}`)
  if (!mutating || !validating) throw new Error('there are two')
  await cluster.admin.create(validating.resource, validating.object)
  await expect.poll(() => bundles(cluster.admin).catch(() => []), patience).toEqual([])
  expect(ready()).toEqual([false])
  await cluster.admin.create(mutating.resource, mutating.object)
  await expect.poll(ready, patience).toEqual([true])

  // The manifests are written over what was injected.
  for (const { resource, object } of [mutating, validating]) await cluster.admin.update(resource, object)
  await expect.poll(async () => (await bundles(cluster.admin)).every((bundle) => bundle !== ''), patience).toBe(true)
  await expect.poll(ready, patience).toEqual([true])
  await cluster.admin.delete(mutating.resource, { name: 'k8sclaw-webhook' })
  await expect.poll(ready, patience).toEqual([false])
})

describe('a certificate that is due', () => {
  test('is followed by another without a moment of distrust, on every replica, and its authority is forgotten', async () => {
    const old = await hold(310)
    const ports = [await freePort(), await freePort()]
    await install(cluster.admin, `https://127.0.0.1:${ports[0]}`)
    for (const port of ports) await replica(['127.0.0.1'], port)
    await expect.poll(ready, patience).toEqual([true, true])
    const seen = watchTrust(ports)
    const served = async () =>
      Promise.all(
        ports.map(async (port) => {
          const answer = await call(port, (await bundles(cluster.admin))[0] ?? '', '/healthz')
          return typeof answer === 'string' ? answer : answer.fingerprint
        }),
      )
    await expect.poll(async () => (await secretText(cluster.admin, 'next.crt')) !== '', patience).toBe(true)
    await expect.poll(async () => secretText(cluster.admin, 'next.crt'), patience).toBe('')
    const successor = fingerprint(await secretText(cluster.admin, 'tls.crt'))
    await expect.poll(served, patience).toEqual([successor, successor])
    expect(await bundles(cluster.admin)).toContainEqual(expect.stringContaining(old))
    await expect
      .poll(async () => (await bundles(cluster.admin)).some((bundle) => bundle.includes(old)), patience)
      .toBe(false)
    const { distrusted, looks } = await seen()
    expect(distrusted).toEqual([])
    expect(looks).toBeGreaterThan(10)
    expect(ready()).toEqual([true, true])
  })
})

test('a deleted Secret is a rotation, and no outage', async () => {
  const ports = [await replica(), await replica()]
  await install(cluster.admin, `https://127.0.0.1:${ports[0]}`)
  await expect.poll(ready, patience).toEqual([true, true])
  const before = await secretText(cluster.admin, 'tls.crt')
  const seen = watchTrust(ports)
  await cluster.admin.delete(secrets, secretAddress)
  const replaced = async () => {
    const chain = await secretText(cluster.admin, 'tls.crt')
    return chain !== '' && chain !== before
  }
  await expect.poll(replaced, patience).toBe(true)
  await expect
    .poll(async () => (await bundles(cluster.admin)).every((b) => b.match(/BEGIN/g)?.length === 1), patience)
    .toBe(true)
  expect((await seen()).distrusted).toEqual([])
})

test('an expired certificate is replaced at once, and its authority is not trusted any longer', async () => {
  const old = await hold(400)
  const port = await replica()
  await install(cluster.admin, `https://127.0.0.1:${port}`)
  await expect.poll(ready, patience).toEqual([true])
  expect((await bundles(cluster.admin)).some((bundle) => bundle.includes(old))).toBe(false)
})

test('replicas that are called by different names end with one certificate for all of them', async () => {
  const ports = [await replica(['127.0.0.1']), await replica(['localhost', '127.0.0.1'])]
  await install(cluster.admin, `https://127.0.0.1:${ports[0]}`)
  const names = async () =>
    new X509Certificate(await secretText(cluster.admin, 'tls.crt')).subjectAltName?.split(', ').sort()
  await expect.poll(names, patience).toEqual(['DNS:localhost', 'IP Address:127.0.0.1'])
  await expect.poll(ready, patience).toEqual([true, true])
})

test('the API server calls it: a run gets its origin and its label, and what is wrong is refused by field', async () => {
  const port = await replica()
  await install(cluster.admin, `https://127.0.0.1:${port}`)
  await expect.poll(ready, patience).toEqual([true])
  const made = await cluster.admin.create<AgentRun>(agentRuns, run('mine'))
  expect(made.metadata.labels).toEqual({ 'k8sclaw.io/instance': 'desk' })
  expect(made.spec.origin).toEqual({ kind: 'user', detail: 'kubernetes-admin' })

  const origin = { kind: 'user' as const, detail: 'somebody else' }
  await expect(
    cluster.admin.create<AgentRun>(agentRuns, { ...run('x'), spec: { ...run('x').spec, origin } }),
  ).rejects.toMatchObject({
    code: 'forbidden',
    field: 'spec.origin',
  })
  const parent = { name: 'mine', depth: 1 }
  await expect(
    cluster.admin.create<AgentRun>(agentRuns, { ...run('x'), spec: { ...run('x').spec, parent } }),
  ).rejects.toMatchObject({
    code: 'forbidden',
    field: 'spec.parent',
  })

  // What is there already can be cancelled, labelled otherwise, but not taken from its instance's list.
  const at = { name: 'mine', namespace: 'default' }
  await cluster.admin.patch(agentRuns, at, { spec: { cancel: true }, metadata: { labels: { mine: 'yes' } } })
  await expect(
    cluster.admin.patch(agentRuns, at, { metadata: { labels: { 'k8sclaw.io/instance': null } } }),
  ).rejects.toMatchObject({ code: 'invalid', field: 'metadata.labels' })

  // The system namespace repairs itself without it.
  await cluster.admin.create(agentRuns, { ...run('free'), metadata: { name: 'free', namespace: systemNamespace } })
  await cluster.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } })
  await cluster.admin.create(agentRuns, { ...run('judged'), metadata: { name: 'judged', namespace: 'team' } })
})

test('a replica that leaves judges on, and ends each connection with its answer', async () => {
  const port = await replica()
  await install(cluster.admin, `https://127.0.0.1:${port}`)
  await expect.poll(ready, patience).toEqual([true])
  const agent = new Agent({ keepAlive: true, ca: await bundles(cluster.admin) })
  const ask = () =>
    new Promise<[number | undefined, string | undefined]>((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, path: '/healthz', agent }, (response) => {
        response.resume()
        response.on('end', () => resolve([response.statusCode, response.headers.connection]))
      })
      outgoing.on('error', reject).end()
    })
  expect(await ask()).toEqual([200, 'keep-alive'])
  replicas[0]?.leave()
  expect(await ask()).toEqual([200, 'close'])
  agent.destroy()
  await cluster.admin.create<AgentRun>(agentRuns, run('mine'))
})
