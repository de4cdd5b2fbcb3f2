/**
 * Job and pod of a run are watched by two watches, of which either may be ahead, and a busy controller sees of each what
 * it comes to. So for each way in which a run's pod can come to an end every state of the one is put beside every state
 * of the other: nothing but what really ended it may be concluded from any of them, and that from the last.
 */
import { expect, it } from 'vitest'
import type { ContainerStatus, Job, Pod } from '#core/kube'
import { job, pod, run, running } from '../testing/objects.ts'
import { decideRunning } from './running.ts'

const start = Date.parse('2026-01-01T00:00:00Z')
const at = (seconds: number) => new Date(start + seconds * 1000)
const text = (seconds: number) => at(seconds).toISOString()
const deadlineSeconds = 660
const graceSeconds = 5

const condition = { type: 'Started', status: 'True' as const, reason: 'x', message: '', lastTransitionTime: text(1) }
const started = { phase: 'Running' as const, startedAt: text(0), conditions: [condition] }
const wanted = run('r', {}, started)
const cancelled = run('r', { cancel: true }, started)

type State = NonNullable<ContainerStatus['state']>
type Target = NonNullable<NonNullable<Pod['status']>['conditions']>[number]
const taken = (reason: string): Target => ({ type: 'DisruptionTarget', status: 'True', reason, message: reason })

interface End {
  /** Seconds since the Job began. */
  atSeconds: number
  agent?: Partial<State['terminated']> & { exitCode: number }
  /** Said of the pod before it is deleted. */
  target?: Target
  deleted: boolean
  job: string
}

/** What the API server has of the pod, one after the other; at last nothing. */
function podStates({ atSeconds, agent = { exitCode: 143 }, target, deleted }: End): (Pod | undefined)[] {
  const conditions = target ? [target] : []
  const finishedAt = text(atSeconds + 1)
  const ended = { terminated: { finishedAt, ...agent } }
  const bridge = { terminated: { exitCode: 0, finishedAt } }
  const dying = (one: Pod): Pod =>
    deleted ? { ...one, metadata: { ...one.metadata, deletionTimestamp: text(atSeconds + graceSeconds) } } : one
  return [
    pod(wanted, { agent: running, bridge: running }),
    ...(target ? [pod(wanted, { agent: running, bridge: running }, { conditions })] : []),
    dying(pod(wanted, { agent: running, bridge: running }, { conditions })),
    dying(pod(wanted, { agent: ended, bridge: running }, { conditions })),
    dying(pod(wanted, { agent: ended, bridge }, { conditions, phase: 'Failed' })),
    undefined,
  ]
}

/** Kubernetes of 1.31 and later says why before it ends the pods, and older ones only afterwards. */
function jobStates(reason: string): Job[] {
  const spec = { activeDeadlineSeconds: deadlineSeconds }
  const said = ['', 'FailureTarget', 'Failed'].map((type) => job(wanted, type === '' ? undefined : { type, reason }))
  return said.map((one) => ({ ...one, spec, status: { ...one.status, startTime: text(0) } }))
}

const backoff = 'BackoffLimitExceeded'
const ends: [string, End][] = [
  ['DeadlineExceeded', { atSeconds: deadlineSeconds, deleted: true, job: 'DeadlineExceeded' }],
  ['OOMKilled', { atSeconds: 60, agent: { exitCode: 137, reason: 'OOMKilled' }, deleted: false, job: backoff }],
  ['AgentFailed', { atSeconds: 60, agent: { exitCode: 3 }, deleted: false, job: backoff }],
  ['AgentDied', { atSeconds: 60, agent: { exitCode: 139 }, deleted: false, job: backoff }],
  ['NoResult', { atSeconds: 60, agent: { exitCode: 0 }, deleted: false, job: backoff }],
  ['Evicted', { atSeconds: 60, target: taken('EvictionByEvictionAPI'), deleted: true, job: backoff }],
  ['Evicted', { atSeconds: deadlineSeconds - 1, target: taken('TerminationByKubelet'), deleted: false, job: backoff }],
  ['Preempted', { atSeconds: 60, target: taken('PreemptionByScheduler'), deleted: true, job: backoff }],
  ['NodeLost', { atSeconds: 60, target: taken('DeletionByTaintManager'), deleted: true, job: backoff }],
  ['PodLost', { atSeconds: 60, deleted: true, job: backoff }],
  ['PodLost', { atSeconds: deadlineSeconds - 1, deleted: true, job: backoff }],
]

for (const [who, of, name] of [
  ['a run', wanted, undefined],
  ['a cancelled run', cancelled, 'Cancelled'],
] as const) {
  it.each(ends)(`${who} whose pod ends by %s is named the same, whichever watch is ahead`, (reason, end) => {
    const podsSeen = podStates(end)
    const concluded = new Set<string>()
    for (const [i, seen] of podsSeen.entries()) {
      for (const one of jobStates(end.job)) {
        for (const afterSeconds of [2, 3600]) {
          const gone = seen === undefined ? podsSeen[i - 1] : undefined
          const now = at(end.atSeconds + afterSeconds)
          const facts = { run: of, now, job: one, pod: seen, gone, cancelSentAt: at(end.atSeconds) }
          const step = decideRunning(facts)
          if (step.do === 'conclude') concluded.add(step.ending.reason)
          else expect(seen, 'a run without a pod is over').toBeDefined()
        }
      }
    }
    expect([...concluded]).toEqual([name ?? reason])
  })
}
