import type { Health } from '#core/channels'
import { type Channel, type ChannelStatus, type ClawInstance, type Condition, rfc3339 } from '#core/kinds'
import type { ContainerStatus, Pod } from '#core/kube'

/** What a channel itself last said of its service, and when the bus stored it. */
export interface Heard extends Pick<Health, 'state' | 'reason' | 'message'> {
  at: Date
}

export interface Deployment {
  metadata: { creationTimestamp?: string }
  status?: { conditions?: { type: string; status: string; reason?: string; message?: string }[] }
}

export interface ChannelFacts {
  channel: Channel
  /** What kept its objects from being as they should: what is in the way, or a bus that is away. */
  trouble: Pick<ChannelStatus, 'state' | 'reason' | 'message'> | undefined
  deployment: Deployment | undefined
  /** Its newest pod that does not end. */
  pod: Pod | undefined
  heard: Heard | undefined
}

/** Older words of a channel say nothing any more. */
export const staleMs = 2 * 60_000
/** The time of the last word is written at most this often, unless something else changed. */
const timeEveryMs = 60_000

/** How a channel stands: what keeps its pod from running comes first, then what it says, while that is fresh. */
export function channelStatus(facts: ChannelFacts, before: ChannelStatus | undefined, now: Date): ChannelStatus {
  const { channel, heard } = facts
  const { name, type } = channel
  const verdict = verdictOf(facts, now)
  const status = { name, type, ...verdict, message: oneLine(verdict.message) }
  const said = freshEnough(facts, heard) ? heard : undefined
  if (!said) return status
  const known = before?.lastHealthTime
  const same =
    before && before.state === status.state && before.reason === status.reason && before.message === status.message
  const keep = same && known !== undefined && said.at.getTime() - Date.parse(known) < timeEveryMs
  return { ...status, lastHealthTime: keep ? known : rfc3339(said.at) }
}

/** In how many milliseconds what a channel last said becomes stale; undefined where nothing will. */
export function staleInMs({ heard }: ChannelFacts, now: Date): number | undefined {
  const left = heard ? heard.at.getTime() + staleMs - now.getTime() : 0
  return left > 0 ? left : undefined
}

type Verdict = Pick<ChannelStatus, 'state' | 'reason' | 'message'>

function verdictOf(facts: ChannelFacts, now: Date): Verdict {
  const { trouble, deployment, pod, heard } = facts
  if (trouble) return trouble
  const failure = deployment?.status?.conditions?.find((c) => c.type === 'ReplicaFailure' && c.status === 'True')
  if (failure) return { state: 'Error', reason: 'NoPod', message: failure.message ?? '' }
  const broken = pod && podTrouble(facts.channel, pod)
  if (broken) return broken
  if (!heard || !freshEnough(facts, heard)) {
    return { state: 'Pending', reason: 'Starting', message: 'the channel has not said anything yet' }
  }
  if (now.getTime() - heard.at.getTime() < staleMs) {
    return { state: heard.state, reason: heard.reason, message: heard.message }
  }
  const message = `nothing was heard since ${rfc3339(heard.at)}; then: ${heard.state}, ${heard.reason}`
  return { state: 'Disconnected', reason: 'Silent', message }
}

/** What another channel of the name said, before this one was made, is not its word. */
function freshEnough({ deployment }: ChannelFacts, heard: Heard | undefined): boolean {
  const since = Date.parse(deployment?.metadata.creationTimestamp ?? '')
  return heard !== undefined && heard.at.getTime() >= since
}

/** Of the words of a kubelet, those that mean that the container does not run and why. */
function podTrouble({ secretRef }: Channel, { status }: Pod): Verdict | undefined {
  const unschedulable = status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  if (unschedulable) return { state: 'Pending', reason: 'Unschedulable', message: unschedulable.message ?? '' }
  const [container] = status?.containerStatuses ?? []
  const { reason = '', message = '' } = container?.state?.waiting ?? {}
  if (reason === 'CreateContainerConfigError') return { state: 'Error', ...secretTrouble(secretRef.name, message) }
  if (/Image|ErrImage/.test(reason)) return { state: 'Error', reason: 'NoImage', message: message || reason }
  const ended = reason === 'CrashLoopBackOff' || container?.state?.terminated !== undefined
  if (!ended) return undefined
  // As its Secret has changed: in order, to be started with what is there now, which a kubelet may be in no hurry to do.
  if (lastEnd(container)?.exitCode === 0) {
    return { state: 'Pending', reason: 'Starting', message: 'the channel has ended in order and is started again' }
  }
  return { state: 'Error', reason: 'Ended', message: lastWords(container) }
}

const lastEnd = (container: ContainerStatus | undefined) =>
  container?.state?.terminated ?? container?.lastState?.terminated

/** The kubelet names what is missing; the words differ between versions, what they quote does not. */
function secretTrouble(secret: string, message: string): Pick<Verdict, 'reason' | 'message'> {
  const [, key] = /find key ([A-Z_]+) in/.exec(message) ?? []
  if (key) return { reason: 'SecretIncomplete', message: `Secret ${secret} has no key ${key}` }
  if (message.includes('not found')) return { reason: 'SecretMissing', message: `there is no Secret ${secret}` }
  return { reason: 'NotCreated', message }
}

function lastWords(container: ContainerStatus | undefined): string {
  const ended = lastEnd(container)
  if (!ended) return 'the program of the channel ends again and again'
  const lines = (ended.message ?? '').trim().split('\n')
  return `the program of the channel ended with ${ended.exitCode}: ${lines.at(-1) ?? ''}`
}

/** Whoever may run pods in the namespace may have written it. */
function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim()
    .slice(0, 1024)
}

/** One condition for all channels of an instance; none where it has none. */
export function channelsCondition(
  statuses: readonly ChannelStatus[],
): Pick<Condition, 'status' | 'reason' | 'message'> {
  const others = statuses.filter(({ state }) => state !== 'Connected')
  if (others.length === 0) return { status: 'True', reason: 'Connected', message: '' }
  const told = others.map(({ name, state, reason, message }) => `${name} ${state} (${reason}): ${message}`).join('; ')
  const wrong = others.find(({ state }) => state === 'Error')
  const starts = others.every(({ state }) => state === 'Pending')
  return { status: starts ? 'Unknown' : 'False', reason: (wrong ?? others[0])?.reason ?? '', message: told }
}

/** What the status of an instance says of a channel now. */
export function statusBefore({ status }: ClawInstance, { name, type }: Channel): ChannelStatus | undefined {
  return status?.channels?.find((one) => one.name === name && one.type === type)
}
