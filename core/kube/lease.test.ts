import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { givenBack, heldBy, type Lease, type LeaseTimes, leftMs, type Sighting, sight } from './lease.ts'

const times: LeaseTimes = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000 }
const now = new Date('2026-01-01T00:00:00Z')

function lease(spec: Lease['spec']): Lease {
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l' }, spec: spec ?? {} }
}

describe('a lease', () => {
  it.each<[string, Sighting | undefined, number]>([
    ['that does not exist is free', undefined, 0],
    ['that was given back is free', { lease: lease({ holderIdentity: '' }), atMs: 0 }, 0],
    [
      'of oneself is free, for it is that of a dead predecessor',
      { lease: lease({ holderIdentity: 'me' }), atMs: 0 },
      0,
    ],
    ['is left alone for its own duration', held('other', 20, 1_000), 20_000],
    ['without a duration is left alone for ours', { lease: lease({ holderIdentity: 'other' }), atMs: 1_000 }, 15_000],
    ['that did not change for its duration is free', held('other', 1, 0), 0],
  ])('%s', (_, seen, expected) => {
    expect(leftMs(seen, 'me', 1_000, times)).toBe(expected)
  })

  it('counts from its last change and not from the time that its holder wrote', () => {
    const first = sight(undefined, lease({ holderIdentity: 'other', renewTime: '1999-01-01T00:00:00.000000Z' }), 100)
    const same = sight(first, lease({ holderIdentity: 'other', renewTime: '1999-01-01T00:00:00.000000Z' }), 900)
    expect(same?.atMs).toBe(100)
    const renewed = sight(same, lease({ holderIdentity: 'other', renewTime: '1999-01-01T00:00:02.000000Z' }), 950)
    expect(renewed?.atMs).toBe(950)
  })

  it('that somebody deleted is still its holder’s until its time is over', () => {
    const seen = sight(held('other', 15, 0), undefined, 5_000)
    expect(leftMs(seen, 'me', 5_000, times)).toBe(10_000)
  })

  it('counts the times it changed hands, and keeps the time of its acquisition', () => {
    const created = lease(heldBy('a', undefined, now, times))
    expect(created.spec).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 0 })
    expect(created.spec?.renewTime).toBe('2026-01-01T00:00:00.000000Z')
    const renewed = lease(heldBy('a', created, new Date(now.getTime() + 1000), times))
    expect(renewed.spec).toMatchObject({ acquireTime: created.spec?.acquireTime, leaseTransitions: 0 })
    const back = lease(givenBack(renewed, now))
    expect(back.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 })
    expect(heldBy('b', back, now, times)).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 })
  })
})

function held(holderIdentity: string, leaseDurationSeconds: number, atMs: number): Sighting {
  return { lease: lease({ holderIdentity, leaseDurationSeconds }), atMs }
}

/**
 * Candidates against one server, each request taking its time on the way there and back, each candidate sleeping or
 * stopped for any time in between, each clock showing another time. What must hold is what others rely on: of two
 * candidates that believe to lead, never both at one moment.
 */
describe('of several candidates', () => {
  const pause = fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 40_000 }))
  const attempt = fc.record({ who: fc.integer({ min: 0, max: 2 }), pause, there: pause, back: pause, between: pause })
  const offsets = fc.tuple(fc.nat(10 ** 9), fc.nat(10 ** 9), fc.nat(10 ** 9))

  it('no two lead at one moment, however slow they are and whatever their clocks say', () => {
    fc.assert(
      fc.property(fc.array(attempt, { minLength: 2, maxLength: 60 }), offsets, (attempts, clocks) => {
        const terms = play(attempts, clocks)
        for (const [i, a] of terms.entries()) {
          for (const b of terms.slice(i + 1)) {
            expect(a.who === b.who || a.until <= b.from || b.until <= a.from, JSON.stringify([a, b])).toBe(true)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})

interface Attempt {
  who: number
  /** Before the candidate looks, after it has looked, until its write arrives, until it has the answer. */
  pause: number
  between: number
  there: number
  back: number
}

/** Plays the attempts in the order of real time and returns when each candidate took itself for the leader. */
function play(attempts: Attempt[], clocks: readonly number[]): { who: number; from: number; until: number }[] {
  const terms: { who: number; from: number; until: number }[] = []
  const seen: (Sighting | undefined)[] = []
  const server: { lease: Lease | undefined; version: number } = { lease: undefined, version: 0 }
  const free = [0, 0, 0]
  const steps: { at: number; run: () => void }[] = []
  for (const { who, pause, between, there, back } of attempts) {
    const begins = (free[who] ?? 0) + pause
    const looks = begins + between
    const writes = looks + there
    const answered = writes + back
    free[who] = answered
    const clock = (at: number) => at + (clocks[who] ?? 0)
    let version = -1
    steps.push({
      at: looks,
      run: () => {
        seen[who] = sight(seen[who], server.lease, clock(looks))
        if (leftMs(seen[who], `${who}`, clock(looks), times) === 0) version = server.version
      },
    })
    steps.push({
      at: writes,
      run: () => {
        if (version !== server.version) return
        const spec = heldBy(`${who}`, server.lease, new Date(clock(writes)), times)
        server.lease = lease({ ...spec, renewTime: `${server.version++}` })
        const until = begins + times.renewMs
        if (answered < until) terms.push({ who, from: answered, until })
      },
    })
  }
  for (const { run } of steps.toSorted((a, b) => a.at - b.at)) run()
  return terms
}
