import { type ChannelAddress, channelConsumer, channelConsumerInfo, channelSubjects } from './channel-subjects.ts'
import { channelFiles, runFiles } from './file-subjects.ts'
import { policySubjects, type RunAddress, runSubjects } from './subjects.ts'

/** Who a bus user is. What it may do follows from this and from nothing else. */
export type BusIdentity =
  | {
      kind: 'bridge'
      run: RunAddress
      /** Name of the ClawPolicy that bound the run, which the bridge may read; absent where none did. */
      policy?: string | undefined
    }
  | { kind: 'channel'; channel: ChannelAddress }
  | { kind: 'gateway' }
  | { kind: 'controller' }
  | { kind: 'apiserver' }

export interface BusPermissions {
  publish: string[]
  subscribe: string[]
}

/** Prefix of every reply subject of one bus user: its own, because the default `_INBOX` is everybody's. */
export function inboxPrefix(userPublicKey: string): string {
  return `_INBOX_${userPublicKey}`
}

/** Names of the two durable consumers of a run on the stream RUNS, which the controller makes. */
export function runConsumers(uid: string) {
  return { in: `${uid}-in`, journal: `${uid}-journal` } as const
}

/** Where a bridge asks for the state of a consumer of its run: it has no JetStream API. */
export function runConsumerInfo(consumer: string): string {
  return `k8sclaw.consumer.${consumer}`
}

const anyRun = (leaf: string) => `k8sclaw.*.*.run.*.${leaf}`

/** The exact subjects an identity may publish to and subscribe to. Neither list is ever empty: empty means all. */
export function busPermissions(identity: BusIdentity, userPublicKey: string): BusPermissions {
  const policy = policyOf(identity)
  const live = identity.kind === 'channel' ? [channelSubjects(identity.channel).live] : []
  return {
    publish: [...publishOf(identity), ...(policy ? [policy.get] : [])],
    subscribe: [`${inboxPrefix(userPublicKey)}.>`, ...(policy ? [policy.changed] : []), ...live],
  }
}

function policyOf(identity: BusIdentity) {
  if (identity.kind !== 'bridge' || !identity.policy) return undefined
  return policySubjects({ namespace: identity.run.namespace, name: identity.policy })
}

function publishOf(identity: BusIdentity): string[] {
  switch (identity.kind) {
    case 'bridge': {
      const { journal, outcome, liveAgent } = runSubjects(identity.run)
      const consumers = Object.values(runConsumers(identity.run.uid))
      const files = runFiles(identity.run)
      return [
        journal,
        outcome,
        liveAgent,
        files.write,
        files.read,
        ...consumers.flatMap((name) => [
          runConsumerInfo(name),
          `$JS.API.CONSUMER.MSG.NEXT.RUNS.${name}`,
          `$JS.ACK.RUNS.${name}.>`,
        ]),
      ]
    }
    case 'channel': {
      const { received, health, sent, getSent } = channelSubjects(identity.channel)
      const consumer = channelConsumer(identity.channel)
      const files = channelFiles(identity.channel)
      return [
        received,
        health,
        sent('*'),
        getSent('*'),
        files.write,
        files.read,
        channelConsumerInfo(consumer),
        `$JS.API.CONSUMER.MSG.NEXT.CHANNEL_SEND.${consumer}`,
        `$JS.ACK.CHANNEL_SEND.${consumer}.>`,
      ]
    }
    case 'gateway':
      return [anyRun('live.model'), anyRun('usage.model'), ...reading('KV_policies')]
    case 'apiserver':
      return [
        anyRun('in'),
        '$KV.kept.RUNS',
        '$KV.pairing.*.*',
        '$JS.API.STREAM.MSG.GET.KV_pairing',
        ...['RUNS', 'LIVE', 'USAGE', 'KV_policies'].flatMap(reading),
      ]
    case 'controller':
      // The account holds the platform's streams and no others. Named one by one they would not fit into the 4096 bytes
      // that nats-server reads of a connection's first line.
      return [
        anyRun('in'),
        anyRun('outcome'),
        '$KV.policies.*.*',
        '$KV.pairing.*.*',
        '$KV.conversations.*.*.*.*',
        'k8sclaw.*.*.channel.*.send',
        '$JS.API.INFO',
        ...reading('*'),
        '$JS.API.STREAM.CREATE.*',
        '$JS.API.STREAM.UPDATE.*',
        '$JS.API.STREAM.PURGE.*',
        '$JS.API.CONSUMER.DURABLE.CREATE.*.*',
        '$JS.API.CONSUMER.DELETE.*.*',
        '$JS.API.CONSUMER.NAMES.*',
        '$JS.API.CONSUMER.LIST.*',
      ]
  }
}

/** What it takes to read a stream through consumers of one's own; deleting them is left to their idle time. */
function reading(stream: string): string[] {
  return [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
    `$JS.ACK.${stream}.>`,
  ]
}
