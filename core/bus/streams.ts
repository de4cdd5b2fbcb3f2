import { ClawError, errorMessage, isClawError } from '#core/errors'
import { type RunAddress, runConsumers, runFiles, runSubjects } from '#core/identity'
import { jsRequest } from './api.ts'
import type { Bus } from './bus.ts'
import { pause } from './pause.ts'

const second = 1_000_000_000
const minute = 60 * second
const day = 24 * 60 * minute

interface StreamConfig {
  name: string
  description?: string
  subjects: string[]
  storage: 'file' | 'memory'
  retention: 'limits'
  discard: 'old' | 'new'
  max_age: number
  max_bytes: number
  max_msgs_per_subject: number
  duplicate_window: number
  deny_delete?: boolean
  allow_rollup_hdrs?: boolean
  /** Lets the newest message of a subject be asked for by a subject of its own, which permissions can tell apart. */
  allow_direct?: boolean
  /** Tells of each message once it is stored, with its sequence. */
  republish?: { src: string; dest: string }
}

const unlimited = -1

/** The streams of the platform. Durations are in nanoseconds, as JetStream counts them. */
export const streams: StreamConfig[] = [
  {
    name: 'RUNS',
    // One pattern, because a consumer's filter must lie within one; previews and usage stand a level deeper.
    subjects: ['k8sclaw.*.*.run.*.*'],
    storage: 'file',
    retention: 'limits',
    // A full store refuses new entries; it never drops recorded ones.
    discard: 'new',
    max_age: 0,
    max_bytes: unlimited,
    max_msgs_per_subject: unlimited,
    // A writer that was cut off repeats its last publish for as long as it lives; it must still be recognised.
    duplicate_window: 15 * minute,
  },
  {
    name: 'LIVE',
    subjects: ['k8sclaw.*.*.run.*.live.*'],
    storage: 'memory',
    retention: 'limits',
    discard: 'old',
    max_age: 10 * minute,
    max_bytes: 128 * 1024 * 1024,
    // One run that talks without end pushes out its own previews first.
    max_msgs_per_subject: 16_384,
    duplicate_window: 2 * minute,
  },
  {
    name: 'USAGE',
    subjects: ['k8sclaw.*.*.run.*.usage.*'],
    storage: 'file',
    retention: 'limits',
    discard: 'old',
    max_age: 30 * day,
    max_bytes: unlimited,
    max_msgs_per_subject: unlimited,
    duplicate_window: 2 * minute,
  },
  {
    // A key-value bucket as every client of JetStream knows them (NATS ADR-8), one key a policy.
    name: 'KV_policies',
    subjects: ['$KV.policies.>'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 0,
    max_bytes: unlimited,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
    deny_delete: true,
    allow_rollup_hdrs: true,
    allow_direct: true,
    republish: { src: '$KV.policies.>', dest: 'k8sclaw.policies.>' },
  },
  {
    // How far the record has been taken to where it is kept for good. A keeper that was not heard of for a week is no
    // longer waited for.
    name: 'KV_kept',
    subjects: ['$KV.kept.>'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 7 * day,
    max_bytes: unlimited,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
  },
  {
    // What channels receive and what they are to say lie apart: message ids count in the whole stream, and a channel
    // that could choose one of the controller's would have a reply to somebody else taken for a repetition.
    name: 'CHANNEL_RECEIVED',
    subjects: ['k8sclaw.*.*.channel.*.received'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 7 * day,
    max_bytes: unlimited,
    max_msgs_per_subject: unlimited,
    // A service that was not told that a message was taken delivers it again for a day.
    duplicate_window: day,
  },
  {
    name: 'CHANNEL_SEND',
    subjects: ['k8sclaw.*.*.channel.*.send'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 7 * day,
    max_bytes: unlimited,
    max_msgs_per_subject: unlimited,
    duplicate_window: day,
  },
  {
    name: 'CHANNEL_HEALTH',
    subjects: ['k8sclaw.*.*.channel.*.health'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 7 * day,
    max_bytes: unlimited,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
  },
  {
    // What services have accepted. No rollup: its header is the publisher's to set, and one channel would forget what
    // all others have sent.
    name: 'KV_sent',
    subjects: ['$KV.sent.>'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 7 * day,
    max_bytes: unlimited,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
    deny_delete: true,
    allow_direct: true,
  },
  {
    name: 'KV_pairing',
    subjects: ['$KV.pairing.>'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 10 * minute,
    max_bytes: unlimited,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
    deny_delete: true,
  },
  {
    // Since when conversations of chats go on, where somebody had them begin anew.
    name: 'KV_conversations',
    subjects: ['$KV.conversations.>'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: 0,
    max_bytes: unlimited,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
  },
  {
    // Files that come with messages and go with answers, in chunks. A store that is full refuses, so that nobody pushes
    // out what others are still to read; no rollup, by whose header one writer would.
    name: 'FILES',
    subjects: ['k8sclaw.*.*.run.*.file.*.*.*'],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_age: day,
    max_bytes: 2 * 1024 * 1024 * 1024,
    max_msgs_per_subject: 1,
    duplicate_window: 2 * minute,
    deny_delete: true,
    allow_direct: true,
  },
]

const kept = new WeakSet<Bus>()

export interface StreamOptions {
  /** On how many servers of a cluster of these each stream is kept; 1 unless told. */
  replicas?: number
  /** Whose streams they are: a word for the one Kubernetes cluster that uses them. Nobody's without. */
  owner?: string
}

/**
 * Creates the streams, or brings existing ones to the configuration of this version; and does so again whenever
 * the bus comes back, because a server that was restarted has forgotten a stream in memory. Throws `not_ours` for streams
 * of another owner: who is alone on the bus forgets whatever belongs to no run of its own.
 */
export async function ensureStreams(bus: Bus, options: StreamOptions = {}): Promise<void> {
  if (!kept.has(bus)) {
    kept.add(bus)
    bus.onReconnect(() => void restoreStreams(bus, options))
  }
  await createStreams(bus, options)
}

async function restoreStreams(bus: Bus, options: StreamOptions): Promise<void> {
  while (bus.connected) {
    try {
      await createStreams(bus, options)
      return
    } catch (error) {
      bus.log.warn({ error: errorMessage(error) }, 'streams not restored yet')
      await pause(1_000, bus.signal).catch(() => {})
    }
  }
}

async function createStreams(bus: Bus, { replicas = 1, owner }: StreamOptions): Promise<void> {
  for (const stream of streams) {
    const description = owner === undefined ? undefined : ownedBy + owner
    const config = { ...stream, num_replicas: replicas, ...(description && { description }) }
    try {
      const { config: present } = await jsRequest<{ config: StreamConfig }>(bus, `STREAM.INFO.${config.name}`)
      checkOwner(present, description)
      if (differs(config, present)) await jsRequest(bus, `STREAM.UPDATE.${config.name}`, { ...present, ...config })
    } catch (error) {
      if (!isClawError(error, 'not_found')) throw error
      await jsRequest(bus, `STREAM.CREATE.${config.name}`, config)
    }
  }
}

/** How the description of a stream begins that says whose it is; a field of its own needs NATS 2.10. */
const ownedBy = 'K8sClaw, cluster '

function checkOwner({ name, description: present }: StreamConfig, description: string | undefined): void {
  if (description === undefined || !present?.startsWith(ownedBy) || present === description) return
  const which = `the stream ${name} of the bus is that of ${present}; this is cluster ${description.slice(ownedBy.length)}`
  throw new ClawError('not_ours', `${which}. Give each an account of the bus of its own`)
}

export interface ConsumerConfig {
  /** Its name for ever; without it the consumer ends by itself once nobody pulls from it. */
  durable_name?: string
  name?: string
  filter_subject: string
  ack_policy: 'explicit' | 'none'
  deliver_policy: 'all' | 'by_start_sequence'
  opt_start_seq?: number
  /** Nanoseconds until a message that was not acknowledged is delivered again. */
  ack_wait?: number
  max_deliver?: number
  max_ack_pending?: number
  /** Nanoseconds without a pull after which a consumer without durable name is removed. */
  inactive_threshold?: number
  mem_storage?: boolean
}

interface ConsumerInfo {
  name: string
  config: ConsumerConfig & { filter_subjects?: string[] }
  num_pending: number
}

/**
 * Creates a consumer, or changes the present one of that name to what is wanted. The configuration that the server returns is compared with the one
 * that was asked for, because a server that does not know a field drops it: a consumer without its filter would read
 * every tenant's record. Throws `internal` on a difference.
 */
export async function ensureConsumer(bus: Bus, stream: string, wanted: ConsumerConfig): Promise<ConsumerInfo> {
  const name = wanted.durable_name ?? wanted.name
  if (!name) throw new ClawError('internal', 'a consumer needs a name')
  const info = await jsRequest<ConsumerInfo>(bus, `CONSUMER.CREATE.${stream}.${name}.${wanted.filter_subject}`, {
    stream_name: stream,
    config: { replay_policy: 'instant', ...wanted },
  })
  if (differs(wanted, info.config) || info.config.filter_subjects !== undefined || info.name !== name) {
    throw new ClawError('internal', `the bus made the consumer ${name} of ${stream} other than asked`)
  }
  return info
}

/**
 * The two consumers of a run, which its bridge may use and not make: `<uid>-in` over its inbox, and `<uid>-journal`
 * over its whole record, from which a restarted bridge reads where it was. `first` is the sequence of the first message
 * of that record, where the caller knows it: from there on the server looks for more, and not through all runs before.
 */
export async function ensureRunConsumers(bus: Bus, run: RunAddress, first?: number): Promise<void> {
  const subjects = runSubjects(run)
  const names = runConsumers(run.uid)
  const common = {
    ack_policy: 'explicit',
    max_deliver: unlimited,
    ...(first === undefined
      ? { deliver_policy: 'all' as const }
      : { deliver_policy: 'by_start_sequence' as const, opt_start_seq: first }),
  } as const
  const wanted: ConsumerConfig[] = [
    {
      ...common,
      durable_name: names.in,
      filter_subject: subjects.in,
      ack_wait: 2 * second,
      max_ack_pending: 256,
    },
    {
      ...common,
      durable_name: names.journal,
      filter_subject: subjects.record,
      // A bridge that died while it read is followed by one that waits this long at most.
      ack_wait: second,
      // Nothing is ever acknowledged here, so that it can be read again.
      max_ack_pending: unlimited,
    },
  ]
  await Promise.all(
    wanted.map(async (config) => {
      try {
        await ensureConsumer(bus, 'RUNS', config)
      } catch (error) {
        // Where a consumer begins cannot be changed, and need not be: both beginnings lie before the run's record.
        if (isClawError(error, 'internal') || !(await isThere(bus, config))) throw error
      }
    }),
  )
}

/** Whether the stream RUNS has this consumer, wherever that one begins. Throws `internal` for one that reads something else. */
async function isThere(bus: Bus, { durable_name: name, filter_subject }: ConsumerConfig): Promise<boolean> {
  try {
    const { config } = await jsRequest<ConsumerInfo>(bus, `CONSUMER.INFO.RUNS.${name}`)
    if (config.filter_subject === filter_subject && config.filter_subjects === undefined) return true
  } catch (error) {
    if (isClawError(error, 'not_found')) return false
    throw error
  }
  throw new ClawError('internal', `the consumer ${name} of RUNS reads something else`)
}

/** Removes the consumers of a run whose outcome is known; they may be gone already. */
export async function deleteRunConsumers(bus: Bus, run: RunAddress): Promise<void> {
  await Promise.all(
    Object.values(runConsumers(run.uid)).map(async (name) => {
      try {
        await jsRequest(bus, `CONSUMER.DELETE.RUNS.${name}`)
      } catch (error) {
        if (!isClawError(error, 'not_found')) throw error
      }
    }),
  )
}

/** Forgets the record of a run whose AgentRun is deleted. What it used stays in USAGE. */
export async function purgeRun(bus: Bus, run: RunAddress): Promise<void> {
  await deleteRunConsumers(bus, run)
  const { record, live } = runSubjects(run)
  await jsRequest(bus, 'STREAM.PURGE.RUNS', { filter: record })
  await jsRequest(bus, 'STREAM.PURGE.LIVE', { filter: live })
  await purgeFiles(bus, runFiles(run).all)
}

/** Forgets the files under these subjects, which are those of one run or of a part of it. */
export async function purgeFiles(bus: Bus, filter: string): Promise<void> {
  await jsRequest(bus, 'STREAM.PURGE.FILES', { filter })
}

function differs(wanted: object, present: object): boolean {
  const there = new Map(Object.entries(present))
  // JetStream leaves fields out that are zero, and adds ones that it decided itself.
  return Object.entries(wanted).some(
    ([key, value]) => JSON.stringify(there.get(key) ?? zero(value)) !== JSON.stringify(value),
  )
}

function zero(value: unknown): unknown {
  return typeof value === 'number' ? 0 : typeof value === 'boolean' ? false : undefined
}
