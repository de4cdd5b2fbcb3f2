/** What a channel has, as a real API server keeps it: nothing that it adds or drops is taken for a change. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  type Channel,
  type ClawInstance,
  channelTypes,
  clawInstances,
  customResourceDefinitions,
  type KubeObject,
} from '#core/kinds'
import {
  connectKube,
  customResourceDefinitionResource,
  deployments,
  type Kube,
  namespaces,
  type Pod,
  pods,
} from '#core/kube'
import { whoCalls } from '../../programs/controller/identity/who.ts'
import { decideChild, hashOf } from '../../programs/controller/instances/child.ts'
import { podSecurityOf } from '../../programs/controller/instances/pod-security.ts'
import { type ChannelChild, channelChildren, channelName } from '../../programs/controller/resources/channel.ts'
import { startKubernetes, type TestKubernetes } from '../support/kubernetes.ts'
import { kubernetesAssets } from './assets.ts'

const settings = {
  images: { telegram: 'k8sclaw/t:1', slack: 'k8sclaw/s:1', discord: 'k8sclaw/d:1', whatsapp: 'k8sclaw/w:1' },
  identityUrl: 'http://identity:8082',
  busUrl: 'nats://bus:4222',
  systemNamespace: 'k8sclaw-system',
}

describe.skipIf(!kubernetesAssets())('the channels of an instance on a real API server', () => {
  const namespace = 'tenant'
  let kubernetes: TestKubernetes
  let admin: Kube
  let instance: ClawInstance
  let channels: Channel[]

  const write = (name: string, channels: object[]) =>
    admin.create<ClawInstance>(clawInstances, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawInstance',
      metadata: { name, namespace },
      spec: { agents: { default: { model: { provider: 'demo', name: 'demo' } } }, channels },
    } as unknown as ClawInstance)

  beforeAll(async () => {
    kubernetes = await startKubernetes()
    admin = connectKube({ server: kubernetes.url, ca: kubernetes.caPem, token: kubernetes.token })
    for (const crd of customResourceDefinitions().values()) {
      await admin.create(customResourceDefinitionResource, crd as unknown as KubeObject)
    }
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    const before = await admin.get(namespaces, { name: namespace })
    await admin.patch(namespaces, before.metadata, podSecurityOf(before).patch ?? {})
    const wanted = channelTypes.map((type) => ({ name: `the-${type}`, type, secretRef: { name: 'bots' } }))
    // A kind is served a moment after its definition is there.
    instance = await vi.waitFor(() => write('helper', wanted), { timeout: 30_000, interval: 200 })
    channels = instance.spec.channels ?? []
  })
  afterAll(async () => {
    admin?.close()
    await kubernetes?.close()
  })

  const find = ({ resource, object }: ChannelChild) => admin.get<KubeObject>(resource, object.metadata)
  const writtenAs = ({ object }: ChannelChild, { metadata }: KubeObject) => ({
    hash: hashOf(object),
    generation: metadata.generation ?? 0,
  })

  test('say nothing of access and are stored with what that means', () => {
    expect(channels.map(({ access }) => access)).toEqual(channels.map(() => ({ mode: 'pairing', groups: 'mention' })))
  })

  test.each([
    ['two of a type with one Secret', [{ name: 'a' }, { name: 'b' }], 'no two channels of a type'],
    ['two of one name', [{ name: 'a' }, { name: 'a', secretRef: { name: 'other' } }], 'Duplicate value'],
    ['one sender let in twice', [{ name: 'a', access: { allow: ['7', '7'] } }], 'Duplicate value'],
    ['a name that shifts bus subjects', [{ name: 'a.b' }], 'spec.channels[0].name'],
  ])('are refused with %s', async (_, list, message) => {
    const bot = { type: 'telegram', secretRef: { name: 'bot' } }
    const written = write(
      'refused',
      list.map((channel) => ({ ...bot, ...channel })),
    )
    await expect(written).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(message) as string,
    })
  })

  test('are made once and then left as they are', async () => {
    for (const child of channels.flatMap((channel) => channelChildren(instance, channel, settings))) {
      expect(decideChild(instance, child, undefined)).toEqual({ do: 'create' })
      const made = await admin.create<KubeObject>(child.resource, child.object)
      expect(decideChild(instance, child, await find(child), writtenAs(child, made)), child.resource.kind).toEqual({
        do: 'nothing',
      })
    }
  })

  test('have a Deployment written again by a controller that starts, which changes nothing of it', async () => {
    for (const channel of channels) {
      const child = channelChildren(instance, channel, settings).at(-1)
      if (!child) throw new Error('no Deployment')
      const before = await find(child)
      const step = decideChild(instance, child, before)
      if (step.do !== 'patch') throw new Error(`${step.do}, not patch`)
      expect((await admin.patch(child.resource, child.object.metadata, step.patch)).metadata.resourceVersion).toBe(
        before.metadata.resourceVersion,
      )
    }
  })

  test.each([
    ['Deployment', { replicas: 3, template: { spec: { hostname: 'elsewhere' } } }],
    ['NetworkPolicy', { egress: [{}] }],
    ['NetworkPolicy', { podSelector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] } }],
    ['Service', { selector: { app: 'other' } }],
    ['Service', { type: 'NodePort' }],
  ])('have their %s put right by one patch: %j', async (kind, spec) => {
    const [channel] = channels
    const child = channel && channelChildren(instance, channel, settings).find(({ resource }) => resource.kind === kind)
    if (!child) throw new Error(`no ${kind}`)
    const written = writtenAs(child, await find(child))
    const bent = await admin.patch(child.resource, child.object.metadata, { spec })
    const step = decideChild(instance, child, bent, written)
    if (step.do !== 'patch') throw new Error('it was not noticed')
    const put = await admin.patch(child.resource, child.object.metadata, step.patch)
    expect(decideChild(instance, child, put, writtenAs(child, put))).toEqual({ do: 'nothing' })
    expect(JSON.stringify(put)).not.toMatch(/elsewhere|"other"|NodePort|"replicas":3/)
  })

  test('have a pod that a restricted namespace admits', async () => {
    for (const channel of channels) {
      const { object } = channelChildren(instance, channel, settings).at(-1) ?? {}
      const { spec = {} } = (object as unknown as { spec: { template: Pick<Pod, 'spec'> } }).spec.template
      const metadata = { name: channel.name, namespace }
      const made = await admin.create<Pod>(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec })
      expect(made.spec).toMatchObject({ automountServiceAccountToken: false })
    }
    expect((await admin.list(deployments, { namespace })).items).toHaveLength(channels.length)
  })

  test.skipIf(!kubernetesAssets()?.hasControllerManager)(
    'are known by the pod that Kubernetes made for them, for as long as the instance lists them',
    async () => {
      const talker = await write('talker', [{ name: 'chat', type: 'telegram', secretRef: { name: 'bot' } }])
      const [channel] = talker.spec.channels ?? []
      if (!channel) throw new Error('no channel')
      for (const { resource, object } of channelChildren(talker, channel, settings))
        await admin.create(resource, object)
      const labelSelector = 'k8sclaw.io/instance=talker,k8sclaw.io/channel=chat'
      const pod = await vi.waitFor(
        async () => {
          const [made] = (await admin.list<Pod>(pods, { namespace, labelSelector })).items
          if (!made?.metadata.uid) throw new Error('no pod yet')
          return { name: made.metadata.name, uid: made.metadata.uid }
        },
        { timeout: 60_000, interval: 200 },
      )
      const account = { namespace, name: channelName('talker', channel) }
      const who = async (options: Parameters<Kube['createToken']>[1]) =>
        await whoCalls(admin, await admin.createToken(account, options), 'k8sclaw-system')
      const audiences = ['k8sclaw']
      const bound = { audiences, boundPod: pod }
      expect(await who(bound)).toEqual({
        ...{ kind: 'channel', address: { namespace, instance: 'talker', channel: 'chat' } },
      })
      await expect(who({ audiences })).rejects.toMatchObject({ code: 'forbidden' })
      await expect(who({ ...bound, audiences: ['other'] })).rejects.toMatchObject({ code: 'unauthenticated' })
      await admin.patch(clawInstances, talker.metadata, { spec: { channels: [] } })
      await expect(who(bound)).rejects.toMatchObject({ code: 'forbidden' })
    },
  )
})
