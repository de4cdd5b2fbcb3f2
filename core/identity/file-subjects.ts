import { type ChannelAddress, channelSubjects } from './channel-subjects.ts'
import { type InstanceAddress, instancePrefix, isLabel, type RunAddress, runSubjects } from './subjects.ts'

/** Who brought a file of a run: the channel of that name, with its task, or the agent, with its answer. */
export type FileSource = { channel: string } | 'agent'

/** Begins with `_`, so that no channel is called that. */
const agentLevel = '_agent'

/**
 * Where one file of a run lies, in chunks from 0 on, under the SHA-256 of the whole of it; and where whoever may read
 * it asks for a chunk. `list` is what a channel says of all that it was to bring. Who brought it is part of the
 * subject, so that the bus keeps apart what each may write.
 */
export function fileSubjects(run: RunAddress, from: FileSource) {
  const { record } = runSubjects(run)
  const source = sourceLevel(run, from)
  const stored = `${record.slice(0, -1)}file.${source}`
  const read = `k8sclaw.file.${run.namespace}.${run.instance}.${run.uid}.${source}`
  return {
    chunk: (sha256: string, index: number) => `${stored}.${checked(sha256)}.${index}`,
    readChunk: (sha256: string, index: number) => `${read}.${checked(sha256)}.${index}`,
    list: `${stored}.list.0`,
    readList: `${read}.list.0`,
    /** All that this source brought. */
    all: `${stored}.*.*`,
    readAll: `${read}.*.*`,
  } as const
}

/** What a channel may write, for any run of its instance, and read: what the agents of its instance hand over. */
export function channelFiles(channel: ChannelAddress): { write: string; read: string } {
  // Checks the name.
  channelSubjects(channel)
  const { namespace, instance } = channel
  return {
    write: `${instancePrefix(channel)}.run.*.file.${channel.channel}.*.*`,
    read: `k8sclaw.file.${namespace}.${instance}.*.${agentLevel}.*.*`,
  }
}

/** What the bridge of a run may write, and read: all files of that run. */
export function runFiles(run: RunAddress): { write: string; read: string; all: string } {
  const { namespace, instance, uid } = run
  return {
    write: fileSubjects(run, 'agent').all,
    read: `k8sclaw.file.${namespace}.${instance}.${uid}.*.*.*`,
    all: `${runSubjects(run).record.slice(0, -1)}file.*.*.*`,
  }
}

/** All chunks of files of the runs of a namespace, and all lists of them. */
export function filesOfNamespace(namespace: string): string {
  if (!isLabel(namespace)) throw new RangeError(`namespace is not a DNS label: ${JSON.stringify(namespace)}`)
  return `k8sclaw.${namespace}.*.run.*.file.*.*.*`
}

/** The run whose file lies at a subject; undefined for a list, which takes next to nothing. */
export function runOfChunk(subject: string): RunAddress | undefined {
  const [, namespace, instance, , uid, , , sha256] = subject.split('.')
  if (!namespace || !instance || !uid || sha256 === 'list') return undefined
  return { namespace, instance, uid }
}

function sourceLevel(instance: InstanceAddress, from: FileSource): string {
  if (from === 'agent') return agentLevel
  channelSubjects({ ...instance, channel: from.channel })
  return from.channel
}

function checked(sha256: string): string {
  if (!/^[a-f0-9]{64}$/.test(sha256)) throw new RangeError('not a SHA-256 in hex')
  return sha256
}
