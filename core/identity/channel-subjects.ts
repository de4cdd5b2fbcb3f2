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
    /** What the service has accepted of one item, and where the channel asks for it. */
    sent: (key: string) => `$KV.sent.${sent}.${key}`,
    getSent: (key: string) => `k8sclaw.sent.${sent}.${key}`,
    /** Since when one conversation goes on, where somebody had it begin anew. */
    conversation: (key: string) => `$KV.conversations.${sent}.${key}`,
    /** The model's text in every run of the instance, as it streams. */
    live: `${above}.run.*.live.model`,
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

/** A key of one level, whatever the id is made of. */
export function hashKey(id: string): string {
  return createHash('sha256').update(id).digest('hex')
}

/** Where a stranger's wish lies until somebody says its code: by the hash, so that the bus does not know the code. */
export function pairingSubject(namespace: string, code: string): string {
  if (!isLabel(namespace)) throw new RangeError(`namespace is not a DNS label: ${JSON.stringify(namespace)}`)
  return `$KV.pairing.${namespace}.${hashKey(code)}`
}

/** The channel that a subject belongs to. */
export function channelOfSubject(subject: string): ChannelAddress | undefined {
  const [, namespace, instance, channel] =
    /^k8sclaw\.([^.]+)\.([^.]+)\.channel\.([^.]+)\.(?:received|send|health)$/.exec(subject) ?? []
  return namespace && instance && channel ? { namespace, instance, channel } : undefined
}
