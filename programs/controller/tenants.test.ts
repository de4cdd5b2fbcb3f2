import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Bus, ensureStreams, storedPolicies, watchPolicies } from '#core/bus'
import {
  type AgentRun,
  agentRuns,
  type ClawInstance,
  type ClawPolicy,
  clawInstances,
  clawPolicies,
  clawPolicySpec,
  type KubeObject,
  parseSpec,
  type Resource,
} from '#core/kinds'
import {
  type ConfigMap,
  configMaps,
  type Job,
  jobs,
  type Kube,
  namespaces,
  networkPolicies,
  ownerReference,
  type Pod,
  pods,
  roleBindings,
  serviceAccounts,
  services,
} from '#core/kube'
import { createLogger } from '#core/telemetry'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { runManager } from './manager.ts'

const log = createLogger('test')
log.level = 'silent'
const wait = { timeout: 15_000, interval: 20 }
const platform = {
  isolation: 'kubernetes',
  allowUnconfined: false,
  images: { agent: 'agent', sandbox: 'sandbox' },
} as const
const at = 'k8sclaw-system.svc'
const settings = {
  bridgeImage: 'bridge',
  identityUrl: `http://k8sclaw-identity.${at}:8082`,
  gatewayUrl: `http://k8sclaw-gateway.${at}:8080`,
  busUrl: `nats://k8sclaw-nats.${at}:4222`,
}

let cluster: TestCluster
let nats: TestNats
let admin: Kube
let bus: Bus
let controller: Kube
const writes: string[] = []

beforeAll(async () => {
  cluster = await startCluster()
  admin = cluster.admin
  nats = await startNats()
  bus = await nats.connect({ kind: 'controller' })
  await ensureStreams(bus)
  controller = counted(await cluster.as('k8sclaw-system', 'k8sclaw-controller'))
  for (const name of ['identity', 'gateway', 'nats', 'apiserver']) {
    await admin.create(services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `k8sclaw-${name}`, namespace: 'k8sclaw-system' },
      spec: { ports: [{ name: 'tcp', port: 4222 }] },
    } as KubeObject)
  }
})
afterAll(async () => {
  await cluster.close()
  await nats.close()
})

/** The same client, its writes noted. */
function counted(kube: Kube): Kube {
  return new Proxy(kube, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (['create', 'update', 'patch', 'delete'].includes(String(name))) {
          writes.push(`${String(name)} ${(args[0] as Resource).kind}`)
        }
        return Reflect.apply(value, target, args) as unknown
      }
    },
  })
}

let stop = new AbortController()
let managing: Promise<void> = Promise.resolve()
async function startManager() {
  stop = new AbortController()
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  managing = runManager({
    kube: controller,
    bus,
    systemNamespace: 'k8sclaw-system',
    platform,
    settings,
    channelImages: { telegram: 't', slack: 's', discord: 'd', whatsapp: 'w' },
    canary: { image: 'controller', busUrl: settings.busUrl },
    log,
    signal: stop.signal,
    onReady: resolve,
  })
  await Promise.race([ready, managing])
}
async function stopManager() {
  stop.abort()
  await managing
}

let count = 0
let namespace = ''
beforeEach(async () => {
  namespace = `tenant-${++count}`
  await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  await startManager()
})
afterEach(stopManager)

async function createInstance(spec: Partial<ClawInstance['spec']> = {}, name = 'helper'): Promise<ClawInstance> {
  return await admin.create<ClawInstance>(clawInstances, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawInstance',
    metadata: { name, namespace },
    spec: {
      agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m' } },
      maxConcurrentRuns: 2,
      ...spec,
    },
  })
}

async function createPolicy(name: string, spec: object = {}): Promise<ClawPolicy> {
  return await admin.create<ClawPolicy>(clawPolicies, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawPolicy',
    metadata: { name, namespace },
    spec: parseSpec(clawPolicySpec, spec),
  })
}

async function conditionOf(instance: ClawInstance, type: string): Promise<string> {
  const { status } = await admin.get<ClawInstance>(clawInstances, instance.metadata)
  const condition = status?.conditions?.find((one) => one.type === type)
  return `${condition?.status} ${condition?.reason}`
}
const ready = (instance: ClawInstance) => expect.poll(() => conditionOf(instance, 'Ready'), wait).toBe('True Ready')

/** Waits until the controller has written nothing for a while. */
async function quiet(): Promise<void> {
  let seen = -1
  await vi.waitFor(
    () => {
      const now = writes.length
      const settled = now === seen
      seen = now
      expect(settled).toBe(true)
    },
    { timeout: 20_000, interval: 1_500 },
  )
}

const shared: [Resource, string, object][] = [
  [networkPolicies, 'k8sclaw-run', { spec: { egress: [{}] } }],
  [serviceAccounts, 'k8sclaw-run', { automountServiceAccountToken: true }],
  [roleBindings, 'k8sclaw-gateway', { subjects: [] }],
]

describe('the namespace of an instance', () => {
  it('is closed in before the instance is Ready', async () => {
    const instance = await createInstance()
    await ready(instance)
    for (const [resource, name] of shared) expect(await admin.find(resource, { name, namespace })).toBeDefined()
    const { metadata } = await admin.get(namespaces, { name: namespace })
    expect(metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' })
    expect(await conditionOf(instance, 'PodSecurity')).toBe('True Restricted')
  })

  it('gets back at once what somebody deletes or changes', async () => {
    await ready(await createInstance())
    for (const [resource, name, change] of shared) {
      const before = await admin.get(resource, { name, namespace })
      await admin.delete(resource, before.metadata)
      const again = await vi.waitFor(async () => {
        const found = await admin.get(resource, { name, namespace })
        expect(found.metadata.uid).not.toBe(before.metadata.uid)
        return found
      }, wait)
      await admin.patch(resource, again.metadata, change)
      await vi.waitFor(async () => {
        const { metadata: _, ...put } = await admin.get(resource, again.metadata)
        const { metadata: __, ...was } = before
        expect(put).toEqual(was)
      }, wait)
    }
    await admin.patch(
      namespaces,
      { name: namespace },
      {
        metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } },
      },
    )
    await expect
      .poll(async () => (await admin.get(namespaces, { name: namespace })).metadata.labels, wait)
      .toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' })
  })

  it('keeps the level of Pod Security that somebody gave it, and shows it', async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'baseline' }
    await admin.patch(namespaces, { name: namespace }, { metadata: { labels } })
    const instance = await createInstance()
    await expect.poll(() => conditionOf(instance, 'PodSecurity'), wait).toBe('False OtherLevel')
    expect((await admin.get(namespaces, { name: namespace })).metadata.labels).toMatchObject(labels)
  })

  it('with a NetworkPolicy of somebody else under our name has an instance that is not Ready', async () => {
    const foreign = await admin.create(networkPolicies, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'k8sclaw-run', namespace },
      spec: { podSelector: {}, policyTypes: ['Ingress'] },
    } as KubeObject)
    const instance = await createInstance()
    await expect.poll(() => conditionOf(instance, 'Ready'), wait).toBe('False NotOurs')
    expect(await admin.get(networkPolicies, foreign.metadata)).toEqual(foreign)
    await admin.delete(networkPolicies, foreign.metadata)
    await ready(instance)
  })

  it('is written to no more once all is as it should be, also by a controller that starts anew', async () => {
    await ready(await createInstance({ policyRef: { name: 'mine' } }))
    await createPolicy('mine')
    await quiet()
    await stopManager()
    writes.length = 0
    await startManager()
    // Something that is written last, so that everything before it has been looked at.
    const probe = await createPolicy('probe')
    await vi.waitFor(async () => {
      expect((await admin.get<ClawPolicy>(clawPolicies, probe.metadata)).status?.observedGeneration).toBe(1)
    }, wait)
    await quiet()
    expect(writes).toEqual(['patch ClawPolicy'])
  })
})

describe('the canary', () => {
  const canaryOf = () => vi.waitFor(() => admin.get<Job>(jobs, { name: 'k8sclaw-canary', namespace }), wait)

  async function endWith(job: Job, exitCode: number, message: string): Promise<void> {
    const template = job.spec?.template as { metadata: Pod['metadata']; spec: NonNullable<Pod['spec']> }
    const metadata = {
      ...template.metadata,
      name: `canary-${exitCode}`,
      namespace,
      ownerReferences: [ownerReference(job)],
    }
    const pod = await admin.create<Pod>(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec: template.spec })
    const state = { terminated: { exitCode, message } }
    const container = { name: 'canary', state, ready: false, restartCount: 0, image: 'x', imageID: '' }
    await admin.patch(pods, pod.metadata, { status: { phase: 'Failed', containerStatuses: [container] } }, 'status')
  }

  it('looks from where a run would stand, at addresses that it needs and at ones that it must not reach', async () => {
    await createInstance()
    const { spec } = await canaryOf()
    const template = spec?.template as { metadata: { labels: object }; spec: { containers: { args: string[] }[] } }
    expect(template.metadata.labels).toMatchObject({ 'k8sclaw.io/run-uid': 'canary' })
    const ip = async (name: string) =>
      (await admin.get<KubeObject & { spec: { clusterIP: string } }>(services, { name, namespace: 'k8sclaw-system' }))
        .spec.clusterIP
    expect(template.spec.containers[0]?.args).toEqual([
      'canary',
      ...['--open', `${await ip('k8sclaw-nats')}:4222`],
      ...['--closed', new URL(admin.server).host],
      ...['--closed', `${await ip('k8sclaw-apiserver')}:8080`],
      ...['--closed', '169.254.169.254:80'],
    ])
  })

  it('is believed, and looks again when a NetworkPolicy changes, whosever it is', async () => {
    const instance = await createInstance()
    expect(await conditionOf(instance, 'Isolated')).toMatch(/Unknown NotChecked|undefined/)
    const first = await canaryOf()
    await endWith(first, 0, 'all refused')
    await expect.poll(() => conditionOf(instance, 'Isolated'), wait).toBe('True Isolated')
    const opening = await admin.create(networkPolicies, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'open', namespace },
      spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{}] },
    } as KubeObject)
    const second = await vi.waitFor(async () => {
      const job = await canaryOf()
      expect(job.metadata.uid).not.toBe(first.metadata.uid)
      return job
    }, wait)
    expect(await conditionOf(instance, 'Isolated')).toBe('True Isolated')
    await endWith(second, 1, 'pods of runs reach 10.0.0.1:443')
    await expect.poll(() => conditionOf(instance, 'Isolated'), wait).toBe('False NetworkOpen')
    await admin.delete(networkPolicies, opening.metadata)
    await vi.waitFor(async () => expect((await canaryOf()).metadata.uid).not.toBe(second.metadata.uid), wait)
  })
})

describe('a policy', () => {
  const told = new Map<string, unknown>()
  const listening = new AbortController()
  beforeAll(async () => {
    const gateway = await nats.connect({ kind: 'gateway' })
    void watchPolicies(gateway, listening.signal, {
      onChange: ({ namespace, name }, value) => told.set(`${namespace}/${name}`, value),
      onSynced: () => {},
    })
  })
  afterAll(() => listening.abort())
  const inForce = (name: string) => expect.poll(() => told.get(`${namespace}/${name}`), wait)
  const bound = (policy: ClawPolicy) =>
    expect.poll(async () => (await admin.get<ClawPolicy>(clawPolicies, policy.metadata)).status?.boundInstances, wait)

  it('counts the instances that it binds, whichever of the two changes', async () => {
    const instance = await createInstance()
    const fallback = await createPolicy('default-policy')
    const mine = await createPolicy('mine')
    await bound(fallback).toBe(1)
    await bound(mine).toBe(0)
    await admin.patch(clawInstances, instance.metadata, { spec: { policyRef: { name: 'mine' } } })
    await bound(mine).toBe(1)
    await bound(fallback).toBe(0)
    await createInstance({}, 'second')
    await bound(fallback).toBe(1)
    await admin.delete(clawInstances, instance.metadata)
    await bound(mine).toBe(0)
  })

  it('is on the bus as it reads, also after a deletion that nobody watched', async () => {
    const policy = await createPolicy('with.dots', { featureGates: { 'file-access': true } })
    await inForce('with.dots').toMatchObject({ policy: { name: 'with.dots', generation: 1 } })
    await admin.patch(clawPolicies, policy.metadata, { spec: { featureGates: { 'file-access': false } } })
    await inForce('with.dots').toMatchObject({ policy: { generation: 2 }, featureGates: { 'file-access': false } })
    await stopManager()
    await admin.delete(clawPolicies, policy.metadata)
    await startManager()
    await inForce('with.dots').toBeNull()
    await createPolicy('with.dots')
    await inForce('with.dots').toMatchObject({ policy: { generation: 1 } })
    expect(await storedPolicies(bus)).toContainEqual({ namespace, name: 'with.dots' })
  })

  it('says so while the bus is away, and is in force once it is back', async () => {
    const policy = await createPolicy('late')
    const condition = async () => {
      const { status } = await admin.get<ClawPolicy>(clawPolicies, policy.metadata)
      const found = status?.conditions?.find(({ type }) => type === 'InForce')
      return `${found?.status} ${found?.reason} ${found?.observedGeneration}`
    }
    await expect.poll(condition, wait).toBe('True Stored 1')
    await nats.kill9()
    await admin.patch(clawPolicies, policy.metadata, { spec: { featureGates: { 'file-access': true } } })
    await expect.poll(condition, { timeout: 30_000, interval: 50 }).toBe('False BusUnavailable 2')
    await nats.restart()
    await expect.poll(condition, { timeout: 30_000, interval: 50 }).toBe('True Stored 2')
    await inForce('late').toMatchObject({ policy: { generation: 2 } })
  }, 90_000)
})

describe('skills in a ConfigMap that the instance names', () => {
  it('are waited for, copied when a run is resolved, and stay as they were for that run', async () => {
    await ready(await createInstance({ skills: [{ configMapRef: { name: 'notes' } }] }))
    const start = async (name: string) =>
      await admin.create<AgentRun>(agentRuns, {
        apiVersion: 'k8sclaw.io/v1alpha1',
        kind: 'AgentRun',
        metadata: { name, namespace },
        spec: { instanceRef: { name: 'helper' }, agent: 'default', task: 'Do it.' },
      })
    const skillsOf = async (run: AgentRun) => {
      const { status } = await admin.get<AgentRun>(agentRuns, run.metadata)
      return status?.effective?.skills
    }
    const early = await start('early')
    await expect
      .poll(async () => (await admin.get<AgentRun>(agentRuns, early.metadata)).status?.reason, wait)
      .toBe('ConfigMapMissing')
    await admin.delete(agentRuns, early.metadata)
    const notes: ConfigMap = await admin.create<ConfigMap>(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'notes', namespace },
      data: { 'look.md': '# Look twice' },
    })
    const first = await start('first')
    await expect.poll(() => skillsOf(first), wait).toMatchObject([{ name: 'look', key: 'look.md' }])
    await admin.patch(configMaps, notes.metadata, { data: { 'look.md': '# Look thrice' } })
    const second = await start('second')
    await expect.poll(() => skillsOf(second), wait).toHaveLength(1)
    const read = async (run: AgentRun) => {
      const [skill] = (await skillsOf(run)) ?? []
      return await admin.get<ConfigMap>(configMaps, { name: skill?.configMap ?? '', namespace })
    }
    expect(await read(first)).toMatchObject({ data: { 'look.md': '# Look twice' }, immutable: true })
    expect(await read(second)).toMatchObject({ data: { 'look.md': '# Look thrice' }, immutable: true })
  })
})
