import { createHash } from 'node:crypto'
import { type InstanceAddress, instancePrefix, isLabel } from './subjects.ts'

/** A channel of an instance as the bus knows it. */
export interface ChannelAddress extends InstanceAddress {
  /** Its name in spec.channels, a DNS label. */
  channel: string
}

/** The subjects of one channel. Throws RangeError for a name that could shift subject levels. */
export function channelSubjects({ namespace, instance, channel }: ChannelAddress) {
  const above = instancePrefix({ namespace, instance })
  if (!isLabel(channel)) throw new RangeError(`channel is not a DNS label: ${JSON.stringify(channel)}`)
  const prefix = `${above}.channel.${channel}`
  const sent = `${namespace}.${instance}.${channel}`
  return {
    /** Messages of people; the channel publishes, the controller reads. */
    received: `${prefix}.received`,
    /** What the channel is to say; the controller publishes, the channel reads. */
    send: `${prefix}.send`,
    /** How the service is; the last word counts. */
    health: `${prefix}.health`,
    /** What the service has accepted, by the hash of what it was: `<sent>.<hash>`. */
    sent: `$KV.sent.${sent}`,
    /** Where the channel asks for one of those. */
    getSent: `k8sclaw.sent.${sent}`,
    /** The model's and the agents' text of every run of the instance, as it streams. */
    live: `${above}.run.*.live.*`,
  } as const
}

/** Name of the durable consumer over what a channel is to say, which the controller makes; `_` is in no DNS label. */
export function channelConsumer({ namespace, instance, channel }: ChannelAddress): string {
  return `${namespace}_${instance}_${channel}-send`
}

/** Where a channel asks for the state of its consumer: it has no JetStream API. */
export function channelConsumerInfo(consumer: string): string {
  return `k8sclaw.channel-consumer.${consumer}`
}

/** The key of something that was sent, whatever its id is made of. */
export function sentKey(id: string): string {
  return createHash('sha256').update(id).digest('hex')
}

/** The channel that a subject belongs to. */
export function channelOfSubject(subject: string): ChannelAddress | undefined {
  const [, namespace, instance, channel] =
    /^k8sclaw\.([^.]+)\.([^.]+)\.channel\.([^.]+)\.(?:received|send|health)$/.exec(subject) ?? []
  return namespace && instance && channel ? { namespace, instance, channel } : undefined
}
