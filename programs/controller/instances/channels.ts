import { type Bus, ensureChannelConsumer, forgetChannel } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import type { ChannelAddress } from '#core/identity'
import type { Channel, ChannelStatus, ClawInstance, KubeObject, Resource } from '#core/kinds'
import { controllerOf, type Informer, type Kube, keyOf, type Pod } from '#core/kube'
import {
  addressOfChannel,
  type ChannelChild,
  type ChannelSettings,
  channelChildren,
  channelLabel,
  channelName,
} from '../resources/channel.ts'
import { instanceLabel } from '../resources/job.ts'
import { type ChannelFacts, channelStatus, staleInMs, statusBefore } from './channel-status.ts'
import { decideChild, hashOf, type Written } from './child.ts'
import { type HealthBoard, keyOfChannel } from './health-board.ts'

export interface ChannelKeeperOptions {
  kube: Kube
  bus: Bus
  settings: ChannelSettings
  health: HealthBoard
  caches: {
    instances: Informer<ClawInstance>
    /** With the index `channelOf`: the uid of the instance whose channel an object belongs to; the next three as well. */
    deployments: Informer<KubeObject>
    services: Informer<KubeObject>
    serviceAccounts: Informer<KubeObject>
    networkPolicies: Informer<KubeObject>
    /** Of channels, with the index `channel`: `namespace/instance/channel`. */
    channelPods: Informer<Pod>
  }
}

export interface ChannelsNow {
  statuses: ChannelStatus[]
  /** When to look again though nothing happened. */
  requeueAfterMs: number | undefined
}

/** How soon to try again what the bus or an API server did not let happen. */
const retryMs = 5_000
const refusedRetryMs = 60_000

/** Makes, changes and removes what the channels of an instance have, and says how each stands. */
export class ChannelKeeper {
  readonly #options: ChannelKeeperOptions
  /** Of each Deployment, by uid. */
  readonly #written = new Map<string, Written>()
  /** Channels that the bus is ready for. */
  readonly #ready = new Set<string>()
  /** Channels that became another service's under their name: what the former was to say, the next must not. */
  readonly #anew = new Set<string>()

  constructor(options: ChannelKeeperOptions) {
    this.#options = options
    // A bus may come back with less than it had.
    options.bus.onReconnect(() => this.#ready.clear())
  }

  async settle(instance: ClawInstance, now: Date): Promise<ChannelsNow> {
    const { channels = [] } = instance.spec
    await this.#prune(instance, channels)
    const statuses: ChannelStatus[] = []
    const times: number[] = []
    for (const channel of channels) {
      const trouble = await this.#keep(instance, channel)
      const facts = this.#factsOf(instance, channel, trouble)
      statuses.push(channelStatus(facts, statusBefore(instance, channel), now))
      if (trouble) times.push(trouble.state === 'Error' ? refusedRetryMs : retryMs)
      times.push(...[staleInMs(facts, now) ?? []].flat())
    }
    return { statuses, requeueAfterMs: times.length > 0 ? Math.min(...times) : undefined }
  }

  /** Forgets a channel on the bus, unless an instance has it after all. */
  async forgetUnlessThere(channel: ChannelAddress): Promise<void> {
    const { bus, caches, health } = this.#options
    const instance = caches.instances.get(`${channel.namespace}/${channel.instance}`)
    if (instance?.spec.channels?.some(({ name }) => name === channel.channel)) return
    await forgetChannel(bus, channel)
    health.forget(channel)
    this.#ready.delete(keyOfChannel(channel))
  }

  /** Channels that were heard of and that no instance has. */
  orphans(): ChannelAddress[] {
    const { caches, health } = this.#options
    return health.channels().filter(({ namespace, instance, channel }) => {
      const { channels = [] } = caches.instances.get(`${namespace}/${instance}`)?.spec ?? {}
      return !channels.some(({ name }) => name === channel)
    })
  }

  /** What keeps the channel from being as it should. */
  async #keep(instance: ClawInstance, channel: Channel): Promise<ChannelFacts['trouble']> {
    const { settings } = this.#options
    const away = await this.#readyBus(addressOfChannel(instance, channel))
    try {
      for (const child of channelChildren(instance, channel, settings)) {
        const message = await this.#ensure(instance, child)
        // Without what closes it in there is no pod.
        if (message) return { state: 'Error', reason: 'NotOurs', message }
      }
    } catch (error) {
      if (!isClawError(error, 'forbidden', 'invalid')) throw error
      return { state: 'Error', reason: 'Refused', message: error.message }
    }
    return away
  }

  async #readyBus(address: ChannelAddress): Promise<ChannelFacts['trouble']> {
    const { bus, health } = this.#options
    const key = keyOfChannel(address)
    try {
      if (this.#anew.has(key)) {
        await forgetChannel(bus, address)
        health.forget(address)
        this.#anew.delete(key)
        this.#ready.delete(key)
      }
      if (!this.#ready.has(key)) await ensureChannelConsumer(bus, address)
      this.#ready.add(key)
      return undefined
    } catch (error) {
      return { state: 'Pending', reason: 'BusAway', message: errorMessage(error) }
    }
  }

  async #prune(instance: ClawInstance, channels: readonly Channel[]): Promise<void> {
    const { kube, caches } = this.#options
    const { deployments, services, serviceAccounts, networkPolicies } = caches
    const wanted = new Set(channels.map((channel) => channelName(instance.metadata.name, channel)))
    // The pod goes first, and what closes it in last.
    for (const informer of [deployments, services, serviceAccounts, networkPolicies]) {
      for (const child of informer.byIndex('channelOf', instance.metadata.uid ?? '')) {
        if (wanted.has(child.metadata.name) || child.metadata.deletionTimestamp) continue
        const name = child.metadata.labels?.[channelLabel] ?? ''
        if (informer === deployments && channels.some((channel) => channel.name === name)) {
          this.#anew.add(keyOfChannel(addressOfChannel(instance, { name })))
        }
        await kube.delete(informer.resource, child.metadata, { uid: child.metadata.uid }).catch(unlessGone)
        this.#written.delete(child.metadata.uid ?? '')
      }
    }
  }

  /** Says what is in the way where the object is not ours. */
  async #ensure(instance: ClawInstance, child: ChannelChild): Promise<string | undefined> {
    const { kube } = this.#options
    const cached = this.#cacheOf(child.resource).get(keyOf(child.object))
    try {
      return await this.#step(instance, child, cached)
    } catch (error) {
      if (cached || !isClawError(error, 'already_exists')) throw error
      // Made a moment ago, or by somebody else, whose object the cache does not select.
      return await this.#step(instance, child, await kube.get(child.resource, child.object.metadata))
    }
  }

  async #step(instance: ClawInstance, child: ChannelChild, existing: KubeObject | undefined) {
    const { kube } = this.#options
    const { resource, object } = child
    const step = decideChild(instance, child, existing, this.#written.get(existing?.metadata.uid ?? ''))
    switch (step.do) {
      case 'leave':
        return step.message
      case 'create':
        this.#note(child, await kube.create<KubeObject>(resource, object))
        return undefined
      case 'patch':
        this.#note(child, await kube.patch(resource, object.metadata, step.patch))
        return undefined
      case 'nothing':
        return undefined
    }
  }

  #note({ resource, object }: ChannelChild, { metadata: { uid = '', generation = 0 } }: KubeObject): void {
    if (resource.kind === 'Deployment') this.#written.set(uid, { hash: hashOf(object), generation })
  }

  #cacheOf({ kind }: Resource): Informer<KubeObject> {
    const { deployments, services, serviceAccounts, networkPolicies } = this.#options.caches
    const caches: Record<string, Informer<KubeObject>> = {
      Deployment: deployments,
      Service: services,
      ServiceAccount: serviceAccounts,
    }
    return caches[kind] ?? networkPolicies
  }

  #factsOf(instance: ClawInstance, channel: Channel, trouble: ChannelFacts['trouble']): ChannelFacts {
    const { caches, health } = this.#options
    const address = addressOfChannel(instance, channel)
    const name = channelName(instance.metadata.name, channel)
    const deployment = caches.deployments.get(`${address.namespace}/${name}`)
    const pods = caches.channelPods
      .byIndex('channel', keyOfChannel(address))
      .filter((pod) => !pod.metadata.deletionTimestamp && controllerOf(pod)?.name.startsWith(`${name}-`))
      .toSorted((a, b) => madeAt(b) - madeAt(a))
    return { channel, trouble, deployment, pod: pods[0], heard: health.lastWord(address) }
  }
}

/** The channel that a pod says it is; anybody may say so, and only its status is read. */
export function channelKeyOfPod({ metadata }: Pod): string {
  const { namespace = '', labels = {} } = metadata
  return keyOfChannel({ namespace, instance: labels[instanceLabel] ?? '', channel: labels[channelLabel] ?? '' })
}

function madeAt({ metadata }: Pod): number {
  return Date.parse(metadata.creationTimestamp ?? '')
}

function unlessGone(error: unknown): void {
  if (!isClawError(error, 'not_found', 'conflict')) throw error
}
