import { describe, expect, it } from 'vitest'
import type { Job, Pod } from '#core/kube'
import { instance } from '../testing/objects.ts'
import { type CanaryFacts, canaryVerdict, decideCanary, fingerprint } from './decide.ts'
import { canaryJob } from './job.ts'

const now = new Date('2026-01-01T12:00:00Z')
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000).toISOString()
const policies = fingerprint([
  { apiVersion: 'v1', kind: 'NetworkPolicy', metadata: { name: 'b', uid: 'uid-b', generation: 2 } },
  { apiVersion: 'v1', kind: 'NetworkPolicy', metadata: { name: 'a', uid: 'uid-a', generation: 1 } },
])
const targets = { open: ['10.0.0.2:4222'], closed: ['10.0.0.1:443'] }

function job({
  madeAgo = 1,
  checks = policies,
  ...status
}: {
  madeAgo?: number
  checks?: string
  reason?: string
} = {}) {
  const made = canaryJob(instance(), { image: 'controller' }, targets, checks) as Job
  Object.assign(made.metadata, { uid: 'uid-job', creationTimestamp: minutesAgo(madeAgo) })
  if (status.reason) made.status = { conditions: [{ type: 'Failed', status: 'True', reason: status.reason }] }
  return made
}

function pod(exitCode?: number, message = ''): Pod {
  const state = exitCode === undefined ? { running: {} } : { terminated: { exitCode, message } }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'canary', namespace: 'team' },
    status: { containerStatuses: [{ name: 'canary', state }] },
  } as Pod
}

describe('decideCanary', () => {
  const facts: CanaryFacts = { now, instances: [instance()], policies, job: undefined, pod: undefined }
  const leaving = { ...instance(), metadata: { ...instance().metadata, deletionTimestamp: minutesAgo(0) } }
  const foreign = { ...job(), metadata: { ...job().metadata, ownerReferences: [] } }
  it.each<[string, Partial<CanaryFacts>, object]>([
    ['no instance is there any more', { instances: [] }, { do: 'nothing' }],
    ['the only instance leaves', { instances: [leaving] }, { do: 'nothing' }],
    ['the network policy is not there yet', { policies: undefined }, { do: 'nothing' }],
    ['there is none', {}, { do: 'create', owner: facts.instances[0], checks: policies }],
    ['it looks', { job: job(), pod: pod() }, { do: 'nothing' }],
    ['it has found something', { job: job({ madeAgo: 50 }), pod: pod(0) }, { do: 'wait', forMs: 600_000 }],
    ['an hour is over', { job: job({ madeAgo: 60 }), pod: pod(1) }, { do: 'delete', uid: 'uid-job' }],
    ['it could not say anything', { job: job({ madeAgo: 5 }), pod: pod(3) }, { do: 'delete', uid: 'uid-job' }],
    ['it never started', { job: job({ madeAgo: 4, reason: 'DeadlineExceeded' }) }, { do: 'wait', forMs: 60_000 }],
    ['a policy changed since', { job: job({ checks: 'uid-a/1' }), pod: pod(0) }, { do: 'delete', uid: 'uid-job' }],
    ['it is being deleted', { job: { ...job(), metadata: leaving.metadata } }, { do: 'nothing' }],
    [
      "somebody else's Job bears its name",
      { job: foreign },
      { do: 'leave', message: 'Job k8sclaw-canary exists and does not belong to a ClawInstance' },
    ],
  ])('where %s', (_, change, step) => {
    expect(decideCanary({ ...facts, ...change })).toEqual(step)
  })
})

describe('canaryVerdict', () => {
  it.each([
    ['while there is none', undefined, undefined, undefined],
    ['while it looks', job(), pod(), undefined],
    ['as isolated', job(), pod(0, 'all refused\n'), { status: 'True', reason: 'Isolated', message: 'all refused ' }],
    ['as open', job(), pod(1, 'reached x'), { status: 'False', reason: 'NetworkOpen', message: 'reached x' }],
    ['as unknown', job(), pod(137), { status: 'Unknown', reason: 'NotChecked' }],
    ['as unknown where no pod ended', job({ reason: 'BackoffLimitExceeded' }), undefined, { status: 'Unknown' }],
    ['without what would move a terminal', job(), pod(1, '\u001b[2Jreached'), { message: ' [2Jreached' }],
  ])('%s', (_, made, ended, verdict) => {
    const said = canaryVerdict({ job: made, pod: ended })
    if (verdict) expect(said).toMatchObject(verdict)
    else expect(said).toBeUndefined()
  })
})
