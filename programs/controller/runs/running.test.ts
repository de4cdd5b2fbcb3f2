import { describe, expect, it } from 'vitest'
import type { AgentRun } from '#core/kinds'
import type { ContainerStatus, Pod } from '#core/kube'
import { job, pod, run, running } from '../testing/objects.ts'
import { decideOver } from './over.ts'
import { decideRunning, type RunningFacts } from './running.ts'

const t0 = new Date('2026-01-01T00:00:00Z')
const later = (seconds: number) => new Date(t0.getTime() + seconds * 1000)
const startedAt = '2026-01-01T00:00:00Z'
const started = {
  phase: 'Running' as const,
  startedAt,
  conditions: [{ type: 'Started', status: 'True' as const, reason: 'x', message: '', lastTransitionTime: startedAt }],
}
const fresh = run('r', {}, { phase: 'Running', startedAt })
const seen = run('r', {}, started)
const cancelled = run('r', { cancel: true }, started)
type State = NonNullable<ContainerStatus['state']>
const unscheduled = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' }
const ended = (exitCode: number, more = {}) => ({ terminated: { exitCode, finishedAt: startedAt, ...more } })

function decide(facts: Partial<RunningFacts>) {
  const one = facts.run ?? seen
  return decideRunning({ run: one, now: later(1), job: job(one), pod: undefined, cancelSentAt: undefined, ...facts })
}

describe('decideRunning', () => {
  it('launches until there is a Job', () => {
    expect(decide({ run: fresh, job: undefined })).toEqual({ do: 'launch' })
    const live = pod(fresh, {}, { phase: 'Pending' })
    expect(decide({ run: fresh, pod: live })).toEqual({ do: 'wait', forMs: 299_000 })
  })

  it('records the start once', () => {
    const live = pod(fresh, { agent: running, bridge: running })
    expect(decide({ run: fresh, pod: live })).toEqual({ do: 'recordStart', podName: 'r-pod' })
    expect(decide({ pod: live })).toEqual({ do: 'wait', forMs: undefined })
  })

  it.each([
    ['NoResult', ended(0), {}],
    ['AgentFailed', ended(3), {}],
    ['AgentDied', ended(137), {}],
    ['AgentDied', ended(1, { signal: 9 }), {}],
    ['OOMKilled', ended(137, { reason: 'OOMKilled' }), {}],
    ['Evicted', ended(137), { phase: 'Failed' as const, reason: 'Evicted', message: 'disk' }],
  ])('ends as %s what ended without a result once the bridge has ended', (reason, state, status) => {
    const dead = pod(seen, { agent: state, bridge: ended(0) }, status)
    const { exitCode } = state.terminated
    const step = decide({ pod: dead })
    expect(step).toMatchObject({ do: 'conclude', ending: { phase: 'Failed', reason } })
    if (reason !== 'Evicted') expect(step).toMatchObject({ ending: { exitCode } })
  })

  it('leaves the outcome to a bridge that still runs, for ten seconds', () => {
    const dead = pod(seen, { agent: ended(0), bridge: running })
    expect(decide({ pod: dead, now: later(4) })).toEqual({ do: 'wait', forMs: 6000 })
    expect(decide({ pod: dead, now: later(10) })).toMatchObject({ do: 'conclude', ending: { reason: 'NoResult' } })
  })

  it('shows what keeps the agent from starting, once, and gives up after five minutes with that', () => {
    const waiting = pod(fresh, { bridge: { waiting: { reason: 'ErrImageNeverPull', message: 'no such image' } } })
    const stuck = { reason: 'ErrImageNeverPull', message: 'container bridge: no such image' }
    expect(decide({ run: fresh, pod: waiting })).toEqual({ do: 'recordStuck', stuck, forMs: 299_000 })
    const lastTransitionTime = startedAt
    const told = { type: 'Started', status: 'False' as const, message: '', reason: stuck.reason, lastTransitionTime }
    const shown = run('r', {}, { phase: 'Running', startedAt, conditions: [told] })
    expect(decide({ run: shown, pod: waiting, now: later(299) })).toEqual({ do: 'wait', forMs: 1000 })
    expect(decide({ run: fresh, pod: waiting, now: later(300) })).toMatchObject({
      do: 'conclude',
      ending: {
        reason: 'StartDeadline',
        error: 'not started in 300 s: ErrImageNeverPull: container bridge: no such image',
      },
    })
  })

  it.each<[string, Pod['status'], { bridge?: State; agent?: State }]>([
    ['ImagePullBackOff', {}, { agent: { waiting: { reason: 'ImagePullBackOff', message: 'back-off' } } }],
    ['CreateContainerConfigError', {}, { bridge: { waiting: { reason: 'CreateContainerConfigError' } } }],
    ['Unschedulable', { conditions: [unscheduled] }, {}],
  ])('tells what keeps a pod: %s', (reason, status, states) => {
    const stuckPod = pod(fresh, states, { phase: 'Pending', ...status })
    expect(decide({ run: fresh, pod: stuckPod })).toMatchObject({ do: 'recordStuck', stuck: { reason } })
    expect(decide({ run: fresh, pod: stuckPod, now: later(400), startDeadlineMs: 400_000 })).toMatchObject({
      ending: { reason: 'StartDeadline', error: expect.stringContaining(`400 s: ${reason}: `) },
    })
  })

  it('asks after a while why a Job has no pod, and tells it', () => {
    expect(decide({ run: fresh, now: later(5) })).toEqual({ do: 'wait', forMs: 10_000 })
    expect(decide({ run: fresh, now: later(20) })).toEqual({ do: 'wait', forMs: 30_000 })
    const jobTrouble = { reason: 'QuotaExceeded', message: 'exceeded quota: pods' }
    expect(decide({ run: fresh, now: later(20), jobTrouble })).toEqual({
      ...{ do: 'recordStuck', stuck: jobTrouble, forMs: 30_000 },
    })
    expect(decide({ run: fresh, now: later(300), jobTrouble })).toMatchObject({
      ending: { reason: 'StartDeadline', error: expect.stringContaining('QuotaExceeded: exceeded quota: pods') },
    })
    expect(decide({ run: fresh, now: later(300), job: undefined, jobTrouble })).toMatchObject({
      ending: { reason: 'StartDeadline', error: expect.stringContaining('QuotaExceeded') },
    })
  })

  it.each<[string, string, Pod['status']]>([
    ['Evicted', 'EvictionByEvictionAPI', {}],
    ['Evicted', 'TerminationByKubelet', { reason: 'Evicted', message: 'The node was low on resource: memory.' }],
    ['NodeLost', 'TerminationByKubelet', { reason: 'Terminated', message: 'node shutdown' }],
    ['Preempted', 'PreemptionByScheduler', {}],
    ['NodeLost', 'DeletionByPodGC', {}],
  ])('is %s where the control plane says %s', (reason, target, status) => {
    const conditions = [{ type: 'DisruptionTarget', status: 'True', reason: target, message: 'because' }]
    const gone = pod(seen, { agent: ended(143), bridge: ended(0) }, { phase: 'Failed', conditions, ...status })
    expect(decide({ pod: gone })).toMatchObject({ do: 'conclude', ending: { phase: 'Failed', reason, exitCode: 143 } })
  })

  it('takes a pod on a silent node for lost half a minute after it should be gone', () => {
    const conditions = [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message: 'gone' }]
    const silent = pod(seen, { agent: running, bridge: running }, { conditions })
    const leaving = { ...silent, metadata: { ...silent.metadata, deletionTimestamp: startedAt } }
    expect(decide({ pod: leaving, now: later(10) })).toEqual({ do: 'wait', forMs: 20_000 })
    expect(decide({ pod: leaving, now: later(30) })).toMatchObject({ ending: { reason: 'NodeLost', error: 'gone' } })
  })

  it('tells a pod that somebody deleted from an agent that died', () => {
    const killed = pod(seen, { agent: ended(143), bridge: ended(0) }, { phase: 'Failed' })
    const deleted = { ...killed, metadata: { ...killed.metadata, deletionTimestamp: startedAt } }
    expect(decide({ pod: deleted })).toMatchObject({ ending: { reason: 'PodLost', exitCode: 143 } })
    expect(decide({ pod: killed })).toMatchObject({ ending: { reason: 'AgentDied' } })
  })

  it('tells a pod that its node refused, and a container that its node lost', () => {
    const refused = pod(seen, {}, { phase: 'Failed', reason: 'OutOfcpu', message: 'Pod was rejected' })
    expect(decide({ pod: refused })).toMatchObject({
      ending: { reason: 'PodRejected', error: 'OutOfcpu: Pod was rejected' },
    })
    const unknown = pod(seen, { agent: ended(137, { reason: 'ContainerStatusUnknown' }), bridge: ended(137) })
    expect(decide({ pod: unknown })).toMatchObject({ ending: { reason: 'NodeLost' } })
  })

  it.each([
    ['the pod is deleted', { pod: undefined }],
    ['the Job is deleted', { job: undefined, pod: undefined }],
    [
      'the pod is deleted and the Job has noticed',
      { job: job(seen, { type: 'Failed', reason: 'BackoffLimitExceeded' }) },
    ],
    ['the pod ends before its agent', { pod: pod(seen, {}, { phase: 'Failed' }) }],
  ])('is PodLost when %s', (_, facts) => {
    expect(decide(facts)).toMatchObject({ do: 'conclude', ending: { phase: 'Failed', reason: 'PodLost' } })
  })

  describe('whatever is seen first of what ended it', () => {
    const over = { type: 'Failed', reason: 'DeadlineExceeded' }
    const told = job(seen, over)
    const tells = job(seen, { ...over, type: 'FailureTarget' })
    // As long as it has not told: Kubernetes before 1.31.
    const silent = { ...job(seen), spec: { activeDeadlineSeconds: 60 }, status: { active: 1, startTime: startedAt } }
    const killed = pod(seen, { agent: ended(143), bridge: ended(0) }, { phase: 'Failed' })
    const deleted = (seconds: number, one: Pod) => ({
      ...one,
      metadata: { ...one.metadata, deletionTimestamp: later(seconds + 5).toISOString() },
    })
    const live = pod(seen, { agent: running, bridge: running })
    const evicted = { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'drained' }

    it.each<[string, Partial<RunningFacts>]>([
      ['the Job, and the pod runs', { job: tells, pod: live }],
      ['the Job, and the pod is gone', { job: told }],
      ['the Job, and the pod with it', { job: tells, pod: deleted(60, killed) }],
      ['the pod alone', { job: silent, pod: deleted(60, killed) }],
      ['that the pod is gone alone', { job: silent, gone: deleted(61, killed) }],
    ])('it is TimedOut at the deadline of the Job: %s', (_, facts) => {
      expect(decide(facts)).toMatchObject({ do: 'conclude', ending: { phase: 'TimedOut', reason: 'DeadlineExceeded' } })
    })

    it('leaves the last word to a bridge that still runs', () => {
      const dying = deleted(60, pod(seen, { agent: ended(143), bridge: running }))
      expect(decide({ job: tells, pod: dying, now: later(4) })).toEqual({ do: 'wait', forMs: 6000 })
    })

    it('is PodLost where somebody deleted the pod before', () => {
      expect(decide({ job: silent, pod: deleted(59, killed) })).toMatchObject({ ending: { reason: 'PodLost' } })
    })

    it('is not of its time where the agent never began', () => {
      const waiting = pod(fresh, { agent: { waiting: { reason: 'ErrImagePull', message: 'no' } } })
      const late = { run: fresh, now: later(300), job: told }
      expect(decide({ ...late, pod: waiting })).toMatchObject({ ending: { reason: 'StartDeadline' } })
      expect(decide(late)).toMatchObject({ ending: { reason: 'StartDeadline' } })
    })

    it.each([
      ['OOMKilled', pod(seen, { agent: ended(137, { reason: 'OOMKilled' }) }, { phase: 'Failed' })],
      ['Evicted', pod(seen, { agent: ended(143) }, { phase: 'Failed', conditions: [evicted] })],
      ['Evicted', pod(seen, { agent: running }, { conditions: [evicted] })],
    ])('is %s though the pod is gone before anybody looks', (reason, gone) => {
      const failedJob = job(seen, { type: 'Failed', reason: 'BackoffLimitExceeded' })
      for (const one of [job(seen), failedJob, undefined])
        expect(decide({ job: one, gone })).toMatchObject({ do: 'conclude', ending: { phase: 'Failed', reason } })
    })

    it.each<[string, Partial<RunningFacts>]>([
      ['its agent failed', { pod: pod(cancelled, { agent: ended(1), bridge: ended(0) }) }],
      ['its agent used too much memory', { pod: pod(cancelled, { agent: ended(137, { reason: 'OOMKilled' }) }) }],
      ['its pod was deleted', { pod: undefined }],
      ['its Job reached its deadline', { job: told, pod: live }],
    ])('it is Cancelled once that was asked for, though %s', (_, facts) => {
      expect(decide({ run: cancelled, now: later(10), ...facts })).toMatchObject({
        ending: { phase: 'Cancelled', reason: 'Cancelled', error: expect.any(String) },
      })
    })
  })

  describe('on a cancel', () => {
    const live = pod(cancelled, { agent: running, bridge: running })

    it('tells the bridge once and gives it time', () => {
      expect(decide({ run: cancelled, pod: live })).toEqual({ do: 'sendCancel' })
      expect(decide({ run: cancelled, pod: live, cancelSentAt: later(0) })).toEqual({ do: 'wait', forMs: 14_000 })
    })

    it('ends the run itself where the bridge does not answer or does not run', () => {
      const ending = { do: 'conclude', ending: { phase: 'Cancelled', reason: 'Cancelled' } }
      expect(decide({ run: cancelled, pod: live, cancelSentAt: t0, now: later(15) })).toEqual(ending)
      const early: AgentRun = run('r', { cancel: true }, { phase: 'Running', startedAt })
      expect(decide({ run: early, job: undefined })).toEqual(ending)
      expect(decide({ run: early, pod: pod(early, {}, { phase: 'Pending' }) })).toEqual(ending)
    })
  })
})

describe('decideOver', () => {
  const over = (spec = {}) => run('r', spec, { phase: 'Succeeded', completedAt: startedAt })
  const live = pod(over(), { agent: running })
  const done = pod(over(), { agent: ended(0) }, { phase: 'Succeeded' })

  it('deletes the Job of an agent that lingers for ten seconds', () => {
    expect(decideOver({ run: over(), now: later(4), job: job(over()), pod: live })).toMatchObject({
      deleteJob: false,
      forMs: 6000,
    })
    expect(decideOver({ run: over(), now: later(10), job: job(over()), pod: live })).toMatchObject({ deleteJob: true })
  })

  it('keeps a Job that ended by itself, for its logs, and lets the consumers go', () => {
    const complete = job(over(), { type: 'Complete', reason: 'x' })
    expect(decideOver({ run: over(), now: later(60), job: complete, pod: done })).toEqual({
      quiet: true,
      deleteJob: false,
      deleteRun: false,
      forMs: undefined,
    })
  })

  it('deletes the AgentRun at its TTL', () => {
    const ttl = over({ ttlSecondsAfterFinished: 30 })
    expect(decideOver({ run: ttl, now: later(20), job: undefined, pod: undefined })).toMatchObject({
      deleteRun: false,
      forMs: 10_000,
    })
    expect(decideOver({ run: ttl, now: later(30), job: undefined, pod: undefined })).toMatchObject({ deleteRun: true })
  })
})
