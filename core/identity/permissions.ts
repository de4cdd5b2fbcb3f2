import { policySubjects, type RunAddress, runSubjects } from './subjects.ts'

/** Who a bus user is. What it may do follows from this and from nothing else. */
export type BusIdentity =
  | {
      kind: 'bridge'
      run: RunAddress
      /** Name of the ClawPolicy that bound the run, which the bridge may read; absent where none did. */
      policy?: string | undefined
    }
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
  return {
    publish: [...publishOf(identity), ...(policy ? [policy.get] : [])],
    subscribe: [`${inboxPrefix(userPublicKey)}.>`, ...(policy ? [policy.changed] : [])],
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
      return [
        journal,
        outcome,
        liveAgent,
        ...consumers.flatMap((name) => [
          runConsumerInfo(name),
          `$JS.API.CONSUMER.MSG.NEXT.RUNS.${name}`,
          `$JS.ACK.RUNS.${name}.>`,
        ]),
      ]
    }
    case 'gateway':
      return [anyRun('live.model'), anyRun('usage.model'), ...reading('KV_policies')]
    case 'apiserver':
      return [anyRun('in'), '$KV.kept.RUNS', ...['RUNS', 'LIVE', 'USAGE', 'KV_policies'].flatMap(reading)]
    case 'controller':
      return [
        anyRun('in'),
        anyRun('outcome'),
        '$KV.policies.*.*',
        '$JS.API.INFO',
        ...['RUNS', 'LIVE', 'USAGE', 'KV_policies', 'KV_kept'].flatMap((stream) => [
          ...reading(stream),
          `$JS.API.STREAM.CREATE.${stream}`,
          `$JS.API.STREAM.UPDATE.${stream}`,
          `$JS.API.STREAM.PURGE.${stream}`,
          `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.*`,
          `$JS.API.CONSUMER.DELETE.${stream}.*`,
          `$JS.API.CONSUMER.NAMES.${stream}`,
          `$JS.API.CONSUMER.LIST.${stream}`,
        ]),
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
