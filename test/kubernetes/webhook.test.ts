/** Admission on a real API server, which calls the webhook by URL; the webhook has its own account and no other rights. */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type AgentRun,
  agentRuns,
  type ClawInstance,
  type ClawPolicy,
  clawInstances,
  clawPolicies,
  type KubeObject,
} from '#core/kinds'
import { connectKube, type Kube, loadKube, namespaces, roleBindings, roles, secrets, serviceAccounts } from '#core/kube'
import { kubectl } from '../../build/kubectl.ts'
import { serveWebhook, type Webhook } from '../../programs/webhook/serve.ts'
import { bundles, install, secretAddress, secretText, systemNamespace } from '../../programs/webhook/testing.ts'
import { startKubernetes, type TestKubernetes } from '../support/kubernetes.ts'
import { instance, run } from '../support/objects.ts'
import { execute } from '../support/platform.ts'
import { kubernetesAssets } from './assets.ts'

const patience = { timeout: 60_000, interval: 100 }
const team = 'team'

describe.skipIf(!kubernetesAssets())('admission on a real API server', () => {
  const stop = new AbortController()
  const clients: Kube[] = []
  const replicas: Webhook[] = []
  let kubernetes: TestKubernetes
  let admin: Kube

  beforeAll(async () => {
    kubernetes = await startKubernetes()
    admin = await loadKube({ env: { KUBECONFIG: kubernetes.kubeconfig } })
    clients.push(admin)
    for (const part of ['crd', 'rbac']) {
      const { code, stderr } = await execute(kubectl(), ['apply', '-k', `config/${part}`], {
        env: { ...process.env, KUBECONFIG: kubernetes.kubeconfig },
      })
      if (code !== 0) throw new Error(stderr)
    }
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: team } })
    const ports = await Promise.all([serve(), serve()])
    await install(admin, `https://127.0.0.1:${ports[0]}`)
    await vi.waitFor(() => expect(replicas.map(({ isReady }) => isReady())).toEqual([true, true]), patience)
    // API servers follow the configurations with a delay.
    await vi.waitFor(async () => expect((await dryRun('settling')).spec.origin).toBeDefined(), patience)
  }, 300_000)
  afterAll(async () => {
    stop.abort()
    await Promise.all(replicas.map(({ done }) => done))
    for (const client of clients) client.close()
    await kubernetes?.close()
  })

  /** A replica with the rights of its manifests, which rotates fast. */
  async function serve(): Promise<number> {
    const webhook = await serveWebhook({
      kube: await as(systemNamespace, 'k8sclaw-webhook'),
      namespace: systemNamespace,
      listen: { host: '127.0.0.1', port: 0 },
      names: ['127.0.0.1'],
      platform: { isolation: 'kubernetes', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } },
      log: pino({ level: 'silent' }),
      signal: stop.signal,
      pace: { settleMs: 2_000, overlapMs: 4_000, rereadMs: 500 },
    })
    replicas.push(webhook)
    return (webhook.server.address() as AddressInfo).port
  }

  async function as(namespace: string, name: string): Promise<Kube> {
    const token = await admin.createToken({ namespace, name })
    const client = connectKube({ server: kubernetes.url, ca: kubernetes.caPem, token })
    clients.push(client)
    return client
  }

  const newRun = (name: string, spec: object = {}) => {
    const made = run(name, 'desk', spec) as AgentRun
    return { ...made, metadata: { ...made.metadata, namespace: team } }
  }
  const dryRun = (name: string) =>
    admin.requestJson<AgentRun>(admin.collection(agentRuns, team), {
      method: 'POST',
      query: { dryRun: 'All' },
      body: newRun(name),
    })

  /** An account of the namespace that may do what the rules say. */
  async function member(name: string, rules: object[]): Promise<Kube> {
    const metadata = { name, namespace: team }
    const rbac = 'rbac.authorization.k8s.io'
    await admin.create(serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata })
    await admin.create<KubeObject & { rules: object[] }>(roles, {
      apiVersion: `${rbac}/v1`,
      kind: 'Role',
      metadata,
      rules,
    })
    await admin.create<KubeObject & { roleRef: object; subjects: object[] }>(roleBindings, {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: team }],
    })
    return await as(team, name)
  }
  const writes = { apiGroups: ['k8sclaw.io'], resources: ['clawinstances', 'agentruns'], verbs: ['create', 'patch'] }

  test('a run gets its writer as its origin and keeps it; nobody claims more', async () => {
    const ann = await member('ann', [writes])
    const made = await ann.create<AgentRun>(agentRuns, newRun('mine'))
    const origin = { kind: 'user', detail: `system:serviceaccount:${team}:ann` }
    expect([made.spec.origin, made.metadata.labels]).toEqual([origin, { 'k8sclaw.io/instance': 'desk' }])
    const cancelled = await ann.patch<AgentRun>(agentRuns, made.metadata, { spec: { cancel: true } })
    expect(cancelled.spec.origin).toEqual(origin)

    for (const [field, claim] of [
      ['spec.origin', { origin: { kind: 'user', detail: 'bob' } }],
      ['spec.parent', { parent: { name: 'mine', depth: 1 } }],
    ] as const) {
      await expect(ann.create(agentRuns, newRun('x', claim))).rejects.toMatchObject({ code: 'forbidden', field })
      const patched = ann.patch(agentRuns, made.metadata, { spec: claim })
      await expect(patched).rejects.toMatchObject({ code: 'invalid' })
    }
  })

  test('a Secret, a ConfigMap and a policy are named only by who may read or use them', async () => {
    const named = {
      authRefs: [{ provider: 'openai', secretRef: { name: 'key' } }],
      imagePullSecrets: [{ name: 'pull' }],
      skills: [{ configMapRef: { name: 'notes' } }],
      policyRef: { name: 'loose' },
    }
    const made = (name: string) => {
      const { metadata, ...rest } = instance(name, {}, named) as ClawInstance
      return { ...rest, metadata: { ...metadata, namespace: team } }
    }
    const grants: [string, object][] = [
      [
        'spec.authRefs.0.secretRef',
        { apiGroups: [''], resources: ['secrets'], resourceNames: ['key'], verbs: ['get'] },
      ],
      ['spec.imagePullSecrets.0', { apiGroups: [''], resources: ['secrets'], resourceNames: ['pull'], verbs: ['get'] }],
      ['spec.skills.0.configMapRef', { apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }],
      ['spec.policyRef', { apiGroups: ['k8sclaw.io'], resources: ['clawpolicies'], verbs: ['use'] }],
    ]
    for (const [i, [field]] of grants.entries()) {
      const someone = await member(`with-${i}`, [writes, ...grants.slice(0, i).map(([, rule]) => rule)])
      await expect(someone.create(clawInstances, made(`desk-${i}`))).rejects.toMatchObject({ code: 'forbidden', field })
    }
    const everything = await member('everything', [writes, ...grants.map(([, rule]) => rule)])
    await everything.create(clawInstances, made('desk-all'))
  })

  test('an instance is held to the policy of its namespace, by field', async () => {
    const policy = {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawPolicy',
      metadata: { name: 'strict', namespace: team },
    }
    await admin.create<ClawPolicy>(clawPolicies, {
      ...policy,
      spec: { imagePolicy: { allowed: ['ghcr.io/org'] } },
    } as never)
    const evil = instance('evil', { image: 'ghcr.io/org-evil/x:1' }, { policyRef: { name: 'strict' } }) as ClawInstance
    const refused = admin.create(clawInstances, { ...evil, metadata: { ...evil.metadata, namespace: team } })
    await expect(refused).rejects.toMatchObject({ code: 'invalid', field: 'spec.agents.default.image' })
  })

  test('a rotation is noticed by nobody: every run is admitted before, during and after it', async () => {
    const before = await secretText(admin, 'tls.crt')
    const failures: string[] = []
    let admitted = 0
    let rotating = true
    const creating = (async () => {
      while (rotating) {
        await dryRun(`r-${admitted}`).then(
          () => admitted++,
          (error: Error) => failures.push(error.message),
        )
        // Slow enough that connections are made anew between two reviews now and then.
        await sleep(20)
      }
    })()
    await admin.delete(secrets, secretAddress)
    const authorities = async () => new Set((await bundles(admin)).map((bundle) => bundle.match(/BEGIN/g)?.length))
    await expect.poll(authorities, patience).toEqual(new Set([2]))
    await expect
      .poll(async () => {
        const chain = await secretText(admin, 'tls.crt')
        return chain !== '' && chain !== before
      }, patience)
      .toBe(true)
    await expect.poll(authorities, patience).toEqual(new Set([1]))
    rotating = false
    await creating
    expect(failures).toEqual([])
    expect(admitted).toBeGreaterThan(10)
  })
})
