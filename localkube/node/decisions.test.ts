import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Addresses } from './addresses.ts'
import { findImage } from './images.ts'
import { decideJob } from './job-decision.ts'
import type { ContainerStatus, Deployment, Job, Pod, PodPhase, ReplicaSet } from './objects.ts'
import { type PodState, podStatus } from './pod-status.ts'
import { rollout } from './rollout.ts'

const now = Date.parse('2030-01-01T00:00:00Z')
const seconds = (n: number) => new Date(now + n * 1000).toISOString().replace('.000', '')

function job(spec: Partial<Job['spec']> = {}, status?: Job['status']): Job {
  return {
    metadata: { name: 'j', namespace: 'n', uid: 'u' },
    spec: { template: { spec: { containers: [] } }, ...spec },
    ...(status && { status }),
  } as unknown as Job
}
function podOf(phase: PodPhase, endedAt = 0): Pod {
  const finishedAt = seconds(endedAt)
  const containerStatuses = [{ restartCount: 0, state: { terminated: { exitCode: 1, reason: 'Error', finishedAt } } }]
  return { metadata: {}, spec: {}, status: { phase, containerStatuses } } as unknown as Pod
}

describe('a Job', () => {
  it('creates its pod at once, and no second one while that runs', () => {
    expect(decideJob(job(), [], 0, now)).toMatchObject({ create: 1, status: { active: 1, startTime: seconds(0) } })
    expect(decideJob(job(), [podOf('Running')], 0, now)).toMatchObject({ create: 0, status: { active: 1 } })
  })

  it('has no pods while it is suspended, fails by none of that, and begins anew', () => {
    const running = podOf('Running')
    const spec = { suspend: true, backoffLimit: 0, activeDeadlineSeconds: 5 }
    const before = decideJob(job(spec, { startTime: seconds(-60) }), [running], 0, now)
    expect(before).toMatchObject({ create: 0, remove: [running] })
    expect(before.status).not.toHaveProperty('startTime')
    expect(before.status.conditions).toMatchObject([{ type: 'Suspended', status: 'True' }])
    const after = decideJob(job({ ...spec, suspend: false }, before.status), [], 0, now)
    expect(after).toMatchObject({ create: 1, status: { startTime: seconds(0) } })
    expect(after.status.conditions).toMatchObject([{ type: 'Suspended', status: 'False' }])
  })

  it('is complete with its pod', () => {
    const { status, create } = decideJob(job({}, { startTime: seconds(-9) }), [podOf('Succeeded')], 0, now)
    expect(create).toBe(0)
    expect(status).toMatchObject({ succeeded: 1, active: 0, startTime: seconds(-9), completionTime: seconds(0) })
    expect(status.conditions).toMatchObject([{ type: 'Complete', status: 'True' }])
  })

  it('fails with its first pod where backoffLimit is 0, also when that pod was deleted', () => {
    for (const [pods, lost] of [[[podOf('Failed')], 0] as const, [[], 1] as const]) {
      const { status, create } = decideJob(job({ backoffLimit: 0 }), [...pods], lost, now)
      expect(create).toBe(0)
      expect(status).toMatchObject({ failed: 1, conditions: [{ type: 'Failed', reason: 'BackoffLimitExceeded' }] })
    }
  })

  it('tries again 10 s after a failure, then 20', () => {
    const once = [podOf('Failed', -9)]
    expect(decideJob(job(), once, 0, now)).toMatchObject({ create: 0, again: now + 1000 })
    expect(decideJob(job(), once, 0, now + 1000)).toMatchObject({ create: 1 })
    expect(decideJob(job(), [...once, podOf('Failed', 0)], 0, now)).toMatchObject({ create: 0, again: now + 20_000 })
  })

  it('ends what runs at its deadline', () => {
    const running = podOf('Running')
    const late = decideJob(job({ activeDeadlineSeconds: 5 }, { startTime: seconds(-5) }), [running], 0, now)
    expect(late).toMatchObject({ remove: [running], status: { conditions: [{ reason: 'DeadlineExceeded' }] } })
    const early = decideJob(job({ activeDeadlineSeconds: 5 }, { startTime: seconds(-4) }), [running], 0, now)
    expect(early).toMatchObject({ remove: [], again: now + 1000 })
  })

  it('never leaves its end, whatever its pods say later, and expires', () => {
    const { status } = decideJob(job({ backoffLimit: 0 }), [podOf('Failed')], 0, now)
    const over = job({ backoffLimit: 0, ttlSecondsAfterFinished: 10 }, status)
    expect(decideJob(over, [podOf('Succeeded')], 0, now)).toMatchObject({
      status,
      create: 0,
      expired: false,
      again: now + 10_000,
    })
    expect(decideJob(over, [], 0, now + 10_000)).toMatchObject({ expired: true })
  })
})

function set(name: string, replicas: number, available: number): ReplicaSet {
  return { metadata: { name }, spec: { replicas }, status: { replicas, availableReplicas: available } } as ReplicaSet
}
function deployment(replicas: number, strategy?: Deployment['spec']['strategy']): Deployment {
  return { spec: { replicas, ...(strategy && { strategy }) } } as Deployment
}

describe('a rollout', () => {
  it('that recreates starts nothing while an old pod is left', () => {
    const recreate = deployment(1, { type: 'Recreate' })
    expect(rollout(recreate, set('new', 0, 0), [set('old', 1, 1)])).toEqual(new Map([['old', 0]]))
    const ended = set('old', 0, 0)
    expect(rollout(recreate, set('new', 0, 0), [ended]).get('new')).toBe(1)
  })

  it('with one replica starts the new pod first and ends the old one when the new one is available', () => {
    const rolling = deployment(1)
    expect(Object.fromEntries(rollout(rolling, set('new', 0, 0), [set('old', 1, 1)]))).toEqual({ new: 1, old: 1 })
    expect(Object.fromEntries(rollout(rolling, set('new', 1, 0), [set('old', 1, 1)]))).toEqual({ new: 1, old: 1 })
    expect(Object.fromEntries(rollout(rolling, set('new', 1, 1), [set('old', 1, 1)]))).toEqual({ new: 1, old: 0 })
  })

  it('keeps its bounds, and arrives, whatever the numbers', () => {
    const share = fc.oneof(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
    )
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 0, max: 20 }),
        share,
        share,
        (replicas, before, maxSurge, maxUnavailable) => {
          const wanted = deployment(replicas, { rollingUpdate: { maxSurge, maxUnavailable } })
          let [fresh, old] = [0, before]
          for (let step = 0; step < 200 && (fresh !== replicas || old !== 0); step++) {
            const sizes = rollout(wanted, set('new', fresh, fresh), [set('old', old, old)])
            const [nextFresh, nextOld] = [sizes.get('new') ?? 0, sizes.get('old') ?? 0]
            const surge =
              typeof maxSurge === 'number' ? maxSurge : Math.ceil((Number.parseInt(maxSurge, 10) / 100) * replicas)
            if (nextFresh > fresh && nextFresh + old > replicas + surge) return false
            ;[fresh, old] = [nextFresh, nextOld]
          }
          return fresh === replicas && old === 0
        },
      ),
    )
  })
})

function container(state: ContainerStatus['state'], ready = false): ContainerStatus {
  return { name: 'c', image: 'i', imageID: '', ready, started: ready, restartCount: 0, state, lastState: {} }
}
const waiting = container({ waiting: { reason: 'PodInitializing' } })
const running = container({ running: { startedAt: seconds(0) } }, true)
const exited = (exitCode: number) => container({ terminated: { exitCode, reason: 'x', finishedAt: seconds(0) } })

describe('the status of a pod', () => {
  const bare = { metadata: {}, spec: { containers: [] } } as unknown as Pod
  const base: PodState = {
    init: [],
    main: [],
    initialized: true,
    over: false,
    failure: undefined,
    podIP: '127.1.16.1',
    hostIP: '127.1.0.1',
    startTime: seconds(0),
  }
  it.each<[string, Partial<PodState>, PodPhase]>([
    ['Pending before its containers start', { main: [waiting] }, 'Pending'],
    ['Pending while an init container runs', { init: [running], main: [waiting], initialized: false }, 'Pending'],
    ['Running while one runs', { main: [running, exited(0)] }, 'Running'],
    ['Running while a sidecar outlives the main container', { init: [running], main: [exited(0)] }, 'Running'],
    [
      'Succeeded when all ended well, whatever a sidecar said',
      { init: [exited(143)], main: [exited(0)], over: true },
      'Succeeded',
    ],
    ['Failed when one did not', { main: [exited(0), exited(1)], over: true }, 'Failed'],
    [
      'Failed when it never came to run',
      { init: [exited(1)], main: [waiting], initialized: false, over: true },
      'Failed',
    ],
    [
      'Failed at its deadline',
      { main: [exited(0)], over: true, failure: { reason: 'DeadlineExceeded', message: '' } },
      'Failed',
    ],
  ])('is %s', (_, state, phase) => {
    expect(podStatus(bare, { ...base, ...state }, seconds(1)).phase).toBe(phase)
  })

  it('keeps the time of a condition until it turns', () => {
    const first = podStatus(bare, { ...base, main: [running] }, seconds(1))
    const second = podStatus({ ...bare, status: first }, { ...base, main: [running] }, seconds(2))
    expect(second).toEqual(first)
    const third = podStatus({ ...bare, status: first }, { ...base, main: [exited(0)] }, seconds(3))
    const ready = third.conditions?.find((c) => c.type === 'Ready')
    expect(ready).toMatchObject({ status: 'False', lastTransitionTime: seconds(3) })
  })
})

describe('addresses', () => {
  it('are each given once, come back after release, and are kept on request', () => {
    const addresses = new Addresses('127.77.')
    expect(addresses.take()).toBe('127.77.16.1')
    expect(addresses.take('127.77.16.2')).toBe('127.77.16.2')
    expect(addresses.take()).toBe('127.77.16.3')
    addresses.release('127.77.16.1')
    expect(addresses.take('127.77.16.1')).toBe('127.77.16.1')
    expect(addresses.take('127.5.0.1')).toBe('127.77.16.4')
  })
})

describe('images', () => {
  it('are found by repository, whatever tag or digest', () => {
    const image = { argv: ['x'], confined: true }
    const table = { 'k8sclaw/agent': image, 'localhost:5000/a': image }
    for (const name of [
      'k8sclaw/agent',
      'k8sclaw/agent:dev',
      'k8sclaw/agent:dev@sha256:0',
      'localhost:5000/a:1',
      'localhost:5000/a',
    ])
      expect(findImage(table, name, 'any')).toBe(image)
    for (const name of ['k8sclaw/agent-evil:dev', 'x/k8sclaw/agent', 'constructor', 'toString:1'])
      expect(findImage(table, name, 'any')).toBeUndefined()
    const own = { system: { ...image, namespaces: ['kube-system'] } }
    expect(findImage(own, 'system:1', 'kube-system')).toBe(own.system)
    expect(findImage(own, 'system:1', 'tenant')).toBeUndefined()
  })
})
