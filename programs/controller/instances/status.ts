import {
  type ChannelStatus,
  type ClawInstance,
  type ClawInstanceStatus,
  type Condition,
  withCondition,
} from '#core/kinds'
import type { Platform } from '#core/policy'
import type { CanaryVerdict } from '../canary/decide.ts'
import { channelsCondition } from './channel-status.ts'
import type { PodSecurity } from './pod-security.ts'

export interface InstanceFacts {
  instance: ClawInstance
  policy: { name: string; required: boolean; exists: boolean }
  activeRuns: number
  isolation: Platform['isolation']
  podSecurity: PodSecurity
  /** What the canary of the namespace found; absent while nothing is found yet, and where there is none. */
  canary: CanaryVerdict | undefined
  /** Objects of the namespace that are not ours but bear the name. */
  inTheWay: string[]
  channels: readonly ChannelStatus[]
}

const channelsConnected = 'ChannelsConnected'

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>

/** The status that the facts make. */
export function instanceStatus(facts: InstanceFacts, now: Date): ClawInstanceStatus {
  const { instance, activeRuns, inTheWay, channels } = facts
  const { generation } = instance.metadata
  const observed = generation === undefined ? {} : { observedGeneration: generation }
  const ready = inTheWay.length === 0
  const verdicts: Record<string, Verdict> = {
    PolicyResolved: policyResolved(facts.policy),
    PodSecurity: podSecurityVerdict(facts.podSecurity),
    Isolated: isolated(facts),
    ...(channels.length > 0 ? { [channelsConnected]: channelsCondition(channels) } : {}),
    Ready: ready ? yes('Ready', '') : no('NotOurs', inTheWay.join('; ')),
  }
  let conditions = instance.status?.conditions?.filter(({ type }) => type !== channelsConnected || channels.length > 0)
  for (const [type, verdict] of Object.entries(verdicts)) {
    conditions = withCondition(conditions, { type, ...verdict, ...observed }, now)
  }
  return {
    phase: ready ? 'Ready' : 'Error',
    activeRuns,
    ...(channels.length > 0 ? { channels: [...channels] } : {}),
    ...(conditions ? { conditions } : {}),
    ...observed,
  }
}

function policyResolved({ name, required, exists }: InstanceFacts['policy']): Verdict {
  if (exists) return yes('Bound', `ClawPolicy ${name} binds`)
  if (required) return no('PolicyMissing', `there is no ClawPolicy ${name}; runs wait for it`)
  return yes('Restricted', 'the built-in restricted policy binds')
}

function podSecurityVerdict({ level, label }: PodSecurity): Verdict {
  if (level === 'restricted') return yes('Restricted', 'the namespace admits restricted pods only')
  return no(
    'OtherLevel',
    `the namespace has ${label}=${level}, which is respected: other pods beside the runs may do more`,
  )
}

/** What was found last stands until something else is found: a canary takes a while, and a restart forgets nothing. */
function isolated({ instance, isolation, canary }: InstanceFacts): Verdict {
  if (isolation === 'none') return no('None', 'isolation: none; runs of this machine share it unconfined')
  if (isolation !== 'kubernetes') return yes('Isolated', `isolation: ${isolation}`)
  const last = instance.status?.conditions?.find(({ type }) => type === 'Isolated')
  const { status, reason, message } = canary ??
    last ?? { status: 'Unknown', reason: 'NotChecked', message: 'no canary has looked yet' }
  return { status, reason, message }
}

function yes(reason: string, message: string): Verdict {
  return { status: 'True', reason, message }
}

function no(reason: string, message: string): Verdict {
  return { status: 'False', reason, message }
}
