import { describe, expect, it, vi } from 'vitest'
import { ensureChannelConsumer, publish } from '#core/bus'
import { channelSubjects } from '#core/identity'
import { type ClawInstance, type ClawInstanceSpec, clawInstances, type KubeObject } from '#core/kinds'
import { deployments, networkPolicies, ownerReference, type Pod, pods, serviceAccounts, services } from '#core/kube'
import { type ChannelSettings, channelChildren, channelName } from '../resources/channel.ts'
import { instance } from '../testing/objects.ts'
import {
  admin,
  bus,
  createInstance,
  forgetWrites,
  namespace,
  nats,
  startManager,
  stopManager,
  useController,
  wait,
  writes,
} from '../testing/rig.test-support.ts'

useController()

type Wanted = NonNullable<ClawInstanceSpec['channels']>[number]
const telegram: Wanted = {
  name: 'chat',
  type: 'telegram',
  secretRef: { name: 'bot' },
  access: { mode: 'pairing', groups: 'mention' },
}
const discord: Wanted = { ...telegram, name: 'guild', type: 'discord' }

const kinds = [deployments, services, serviceAccounts, networkPolicies]
async function childrenOf(instance = 'helper'): Promise<string[]> {
  const lists = await Promise.all(
    kinds.map(async (resource) => {
      const labelSelector = `k8sclaw.io/channel,k8sclaw.io/instance=${instance}`
      const { items } = await admin.list(resource, { namespace, labelSelector })
      return items.map(({ metadata }) => `${resource.kind} ${metadata.labels?.['k8sclaw.io/channel']}`)
    }),
  )
  return lists.flat().toSorted()
}
const allOf = (channel: string) =>
  ['Deployment', 'NetworkPolicy', 'Service', 'ServiceAccount'].map((kind) => `${kind} ${channel}`)
const untilChildren = (expected: string[], instance?: string) =>
  vi.waitFor(async () => expect(await childrenOf(instance)).toEqual(expected.toSorted()), wait)

async function untilStatus(instance: ClawInstance, expected: object): Promise<ClawInstance> {
  return await vi.waitFor(async () => {
    const now = await admin.get<ClawInstance>(clawInstances, instance.metadata)
    expect(now.status?.channels?.[0]).toMatchObject(expected)
    return now
  }, wait)
}
const change = (instance: ClawInstance, spec: object) => admin.patch(clawInstances, instance.metadata, { spec })
const deploymentOf = (channel = telegram) =>
  admin.get<KubeObject & { spec: Record<string, unknown> }>(deployments, {
    name: channelName('helper', channel),
    namespace,
  })

/** What a channel would say. */
async function say(state: string, reason: string, channel = 'chat'): Promise<void> {
  const address = { namespace, instance: 'helper', channel }
  const speaker = await nats.connect({ kind: 'channel', channel: address })
  const word = { state, reason, message: 'so it is', at: new Date().toISOString() }
  await publish(speaker, channelSubjects(address).health, word, { id: crypto.randomUUID() })
}

const containers = [{ name: 'channel', image: 'i' }]
const replicaSets = { ...deployments, kind: 'ReplicaSet', plural: 'replicasets' }

/** A pod as the Deployment's ReplicaSet would make it, in the state that a kubelet tells of. */
async function podOf(deployment: KubeObject, state: object): Promise<void> {
  const { name, labels = {} } = deployment.metadata
  const made = await admin.create<KubeObject & { spec: object }>(replicaSets, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: `${name}-1`, namespace },
    spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
  })
  const metadata = { name: `${name}-1-1`, namespace, labels, ownerReferences: [ownerReference(made)] }
  await admin.create<Pod>(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers } })
  const status = {
    containerStatuses: [{ name: 'channel', image: 'i', imageID: '', ready: false, restartCount: 0, state }],
  }
  await admin.patch(pods, metadata, { status }, 'status')
}

describe('the channels of an instance', () => {
  it('have what they need, made once, and go when the spec has them no more', async () => {
    const instance = await createInstance({ channels: [telegram, discord] })
    await untilChildren([...allOf('chat'), ...allOf('guild').filter((child) => !child.startsWith('Service '))])
    await untilStatus(instance, { name: 'chat', type: 'telegram', state: 'Pending', reason: 'Starting' })
    forgetWrites()
    await change(instance, { maxConcurrentRuns: 3 })
    await change(instance, { channels: [discord] })
    await untilChildren(allOf('guild').filter((child) => !child.startsWith('Service ')))
    await untilStatus(instance, { name: 'guild' })
    expect(writes.filter((write) => !write.endsWith('ClawInstance')).toSorted()).toEqual([
      'delete Deployment',
      'delete NetworkPolicy',
      'delete Service',
      'delete ServiceAccount',
    ])
    await change(instance, { channels: null })
    await untilChildren([])
    await vi.waitFor(async () => {
      const { status } = await admin.get<ClawInstance>(clawInstances, instance.metadata)
      expect(status).not.toHaveProperty('channels')
      expect(status?.conditions?.map(({ type }) => type)).not.toContain('ChannelsConnected')
    }, wait)
  })

  it('are forgotten by the bus with what they were still to say, also when their instance goes', async () => {
    const instance = await createInstance({ channels: [telegram] })
    await untilStatus(instance, { state: 'Pending' })
    const address = { namespace, instance: 'helper', channel: 'chat' }
    const { send } = channelSubjects(address)
    await publish(bus, send, { id: 'later' }, { id: crypto.randomUUID() })
    const held = async () => {
      const { state } = (
        await bus.request('$JS.API.STREAM.INFO.CHANNEL_SEND', JSON.stringify({ subjects_filter: send }))
      ).json<{ state: { subjects?: Record<string, number> } }>()
      return state.subjects?.[send] ?? 0
    }
    expect(await held()).toBe(1)
    await admin.delete(clawInstances, instance.metadata)
    await expect.poll(held, wait).toBe(0)
  })

  it('are another program under another type, which says nothing that the first was to say', async () => {
    const instance = await createInstance({ channels: [telegram] })
    await untilChildren(allOf('chat'))
    await change(instance, { channels: [{ ...telegram, type: 'slack' }] })
    await untilStatus(instance, { type: 'slack', state: 'Pending' })
    await untilChildren(allOf('chat'))
    await expect(deploymentOf()).rejects.toMatchObject({ code: 'not_found' })
    await ensureChannelConsumer(bus, { namespace, instance: 'helper', channel: 'chat' })
  })

  it('are put right, whatever somebody changes in them', async () => {
    const instance = await createInstance({ channels: [telegram] })
    await untilChildren(allOf('chat'))
    const { metadata } = await deploymentOf()
    const spec = { replicas: 2, template: { spec: { nodeSelector: { pool: 'theirs' } } } }
    await admin.patch(deployments, metadata, { spec })
    await vi.waitFor(async () => {
      const now = (await deploymentOf()).spec
      expect(now).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } })
      expect((now.template as { spec: object }).spec).not.toHaveProperty('nodeSelector')
    }, wait)
    await admin.patch(networkPolicies, metadata, { spec: { egress: [{}] } })
    await admin.patch(services, metadata, { spec: { selector: { app: 'other' } } })
    await vi.waitFor(async () => {
      expect((await admin.get<KubeObject & { spec: object }>(services, metadata)).spec).toMatchObject({
        selector: { 'k8sclaw.io/channel': 'chat' },
      })
      const policy = await admin.get<KubeObject & { spec: { egress: object[] } }>(networkPolicies, metadata)
      expect(policy.spec.egress.length).toBeGreaterThan(1)
    }, wait)
    await admin.delete(serviceAccounts, metadata)
    await untilChildren(allOf('chat'))
    const { generation } = (await deploymentOf()).metadata
    await stopManager()
    forgetWrites()
    await startManager()
    await untilStatus(instance, { state: 'Pending' })
    await expect.poll(() => writes, wait).toContain('patch Deployment')
    expect((await deploymentOf()).metadata.generation, 'written again, changed in nothing').toBe(generation)
  })

  it('leave alone what bears their name and is not theirs, and do not start beside it', async () => {
    const name = channelName('helper', telegram)
    const labels = { 'k8sclaw.io/channel': 'chat', 'k8sclaw.io/instance': 'helper' }
    const foreign = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace, labels } }
    await admin.create(serviceAccounts, foreign)
    const instance = await createInstance({ channels: [telegram] })
    await untilStatus(instance, { state: 'Error', reason: 'NotOurs' })
    expect(await childrenOf()).not.toContain('Deployment chat')
    await admin.delete(serviceAccounts, foreign.metadata)
    await change(instance, { maxConcurrentRuns: 3 })
    await untilStatus(instance, { state: 'Pending', reason: 'Starting' })
    await untilChildren(allOf('chat'))
  })

  it('of two instances of a namespace never meet, whatever they are called', async () => {
    await createInstance({ channels: [{ ...telegram, name: 'b-chat' }] }, 'a')
    await createInstance({ channels: [telegram] }, 'a-b')
    await untilChildren(allOf('b-chat'), 'a')
    await untilChildren(allOf('chat'), 'a-b')
    await change({ metadata: { name: 'a', namespace } } as ClawInstance, { channels: null })
    await untilChildren([], 'a')
    expect(await childrenOf('a-b')).toEqual(allOf('chat').toSorted())
  })
})

describe('the state of a channel', () => {
  it('is what the service last answered, as the channel tells it', async () => {
    const instance = await createInstance({ channels: [telegram] })
    await untilChildren(allOf('chat'))
    await say('Connected', 'Connected')
    const { status } = await untilStatus(instance, { state: 'Connected', message: 'so it is' })
    expect(status?.channels?.[0]?.lastHealthTime).toBeDefined()
    expect(status?.conditions?.find(({ type }) => type === 'ChannelsConnected')).toMatchObject({ status: 'True' })
    forgetWrites()
    await say('Connected', 'Connected')
    await say('Error', 'WrongToken')
    const now = await untilStatus(instance, { state: 'Error', reason: 'WrongToken' })
    expect(now.status?.phase, 'runs are made all the same').toBe('Ready')
    expect(writes, 'the same word again is not written').toEqual(['patch ClawInstance'])
  })

  it.each([
    ['there is no Secret', 'secret "bot" not found', 'SecretMissing', 'there is no Secret bot'],
    [
      'a key is missing',
      `couldn't find key TELEGRAM_BOT_TOKEN in Secret team/bot`,
      'SecretIncomplete',
      'Secret bot has no key TELEGRAM_BOT_TOKEN',
    ],
  ])('is an error where %s, in words that the kubelet gives', async (_, message, reason, sentence) => {
    const instance = await createInstance({ channels: [telegram] })
    await untilChildren(allOf('chat'))
    await podOf(await deploymentOf(), { waiting: { reason: 'CreateContainerConfigError', message } })
    await untilStatus(instance, { state: 'Error', reason, message: sentence })
  })

  it('is an error where the namespace takes no such pod', async () => {
    const instance = await createInstance({ channels: [telegram] })
    await untilChildren(allOf('chat'))
    const message = 'pods "x" is forbidden: exceeded quota'
    const conditions = [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message }]
    await admin.patch(deployments, (await deploymentOf()).metadata, { status: { conditions } }, 'status')
    await untilStatus(instance, { state: 'Error', reason: 'NoPod', message })
  })
})

describe('the pod of a channel', () => {
  const settings: ChannelSettings = {
    images: { telegram: 't', slack: 's', discord: 'd', whatsapp: 'w' },
    identityUrl: 'http://i',
    busUrl: 'nats://b',
    systemNamespace: 'system',
  }
  it('is given the keys of its service and no other of its Secret', () => {
    const deployment = channelChildren(instance(), telegram, settings).at(-1)?.object as unknown as {
      spec: { template: { spec: { containers: { env: { name: string; valueFrom?: object }[] }[] } } }
    }
    const env = deployment.spec.template.spec.containers[0]?.env ?? []
    expect(env.filter(({ valueFrom }) => JSON.stringify(valueFrom)?.includes('secretKeyRef'))).toEqual([
      { name: 'TELEGRAM_BOT_TOKEN', valueFrom: { secretKeyRef: { name: 'bot', key: 'TELEGRAM_BOT_TOKEN' } } },
      ...['TELEGRAM_WEBHOOK_SECRET', 'TELEGRAM_WEBHOOK_URL', 'TELEGRAM_API_URL'].map((key) => ({
        name: key,
        valueFrom: { secretKeyRef: { name: 'bot', key, optional: true } },
      })),
    ])
    expect(env.filter(({ name }) => /TOKEN$/.test(name)).length).toBe(1)
  })
})
