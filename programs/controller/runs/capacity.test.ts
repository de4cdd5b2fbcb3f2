import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AgentRun } from '#core/kinds'
import { run } from '../testing/objects.ts'
import { Arrivals, Claims, mayStart } from './capacity.ts'

const at = (object: AgentRun, second: number): AgentRun => ({
  ...object,
  metadata: { ...object.metadata, creationTimestamp: `2026-01-01T00:00:${String(second).padStart(2, '0')}Z` },
})
const none: ReadonlySet<string> = new Set()
const ask = (one: AgentRun, siblings: AgentRun[], maxConcurrentRuns = 2, claimed = none) =>
  mayStart({ run: one, siblings, claimed, hasRoom: (running) => running < maxConcurrentRuns })

describe('mayStart', () => {
  const me = at(run('me'), 10)

  it('lets a run start while there is room', () => {
    expect(ask(me, [me, run('a', {}, { phase: 'Running' })])).toEqual({ start: true })
  })

  it('queues a run when the maximum is Running', () => {
    const full = [run('a', {}, { phase: 'Running' }), run('b', {}, { phase: 'Running' })]
    expect(ask(me, full)).toMatchObject({ start: false, reason: 'Queued' })
  })

  it('counts what was let start although the cache still shows it Pending', () => {
    expect(ask(me, [at(run('a'), 20)], 1, new Set(['uid-a']))).toMatchObject({ start: false, reason: 'Queued' })
  })

  it('does not count what is over', () => {
    const over = (['Succeeded', 'Failed', 'Cancelled', 'TimedOut'] as const).map((phase) => run(phase, {}, { phase }))
    expect(ask(me, over, 1)).toEqual({ start: true })
  })

  it('lets whoever waited longer go first', () => {
    expect(ask(me, [at(run('older'), 5)], 1)).toMatchObject({ start: false, reason: 'Queued' })
    expect(ask(me, [at(run('younger'), 15)], 1)).toEqual({ start: true })
  })

  it('counts children of one parent among themselves, and neither among those that nobody spawned', () => {
    const parent = { name: 'a', depth: 1 }
    const top = [run('a', {}, { phase: 'Running' }), run('b', {}, { phase: 'Running' })]
    const child = at(run('child', { parent }), 10)
    expect(ask(child, top, 1)).toEqual({ start: true })
    const brother = run('brother', { parent }, { phase: 'Running' })
    expect(ask(child, [...top, brother], 1)).toMatchObject({
      reason: 'Queued',
      message: '1 children of a are Running, 0 wait ahead',
    })
    expect(ask(child, [run('cousin', { parent: { name: 'b', depth: 1 } }, { phase: 'Running' })], 1)).toEqual({
      start: true,
    })
    expect(ask(me, [brother, at(run('early', { parent }), 1)], 1)).toEqual({ start: true })
  })

  it('is not held up by those who cannot start', () => {
    const conditions = [
      { type: 'Resolved', status: 'False' as const, reason: 'x', message: '', lastTransitionTime: '' },
    ]
    const stuck = at(run('stuck', {}, { phase: 'Pending', conditions }), 1)
    expect(ask(me, [stuck, at(run('cancelled', { cancel: true }), 1)], 1)).toEqual({ start: true })
  })

  it('lets one run of a session be active, in order of creation', () => {
    const mine = at(run('mine', { sessionKey: 's' }), 10)
    expect(ask(mine, [run('a', { sessionKey: 's' }, { phase: 'Running' })], 9)).toMatchObject({ reason: 'SessionBusy' })
    expect(ask(mine, [at(run('older', { sessionKey: 's' }), 5)], 9)).toMatchObject({ reason: 'SessionBusy' })
    expect(ask(mine, [at(run('younger', { sessionKey: 's' }), 15)], 9)).toEqual({ start: true })
    expect(ask(mine, [run('a', { sessionKey: 't' }, { phase: 'Running' })], 9)).toEqual({ start: true })
  })

  it('keeps the order of creation within one second, whatever the names', () => {
    const [zeta, alpha] = ['zeta', 'alpha'].map((name) => at(run(name, { sessionKey: 's' }), 10))
    const arrivals = new Arrivals()
    for (const one of [zeta, alpha]) if (one) arrivals.observe(one)
    const asks = (one: AgentRun, other: AgentRun) =>
      mayStart({ run: one, siblings: [other], claimed: none, hasRoom: (n) => n < 2, arrival: (r) => arrivals.of(r) })
    if (!zeta || !alpha) throw new Error('both are there')
    expect(asks(zeta, alpha)).toEqual({ start: true })
    expect(asks(alpha, zeta)).toMatchObject({ reason: 'SessionBusy', message: expect.stringContaining('zeta') })
  })

  it('is not held up by those who wait for their session', () => {
    const active = run('a', { sessionKey: 's' }, { phase: 'Running' })
    expect(ask(me, [active, at(run('b', { sessionKey: 's' }), 1), at(run('c', { sessionKey: 's' }), 2)], 2)).toEqual({
      start: true,
    })
  })

  it('never exceeds the maximum nor doubles a session, whatever the cache has not shown yet', () => {
    const spec = fc.record({ key: fc.constantFrom(undefined, 's', 't'), second: fc.nat(5) })
    fc.assert(
      fc.property(
        fc.array(spec, { maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.infiniteStream(fc.boolean()),
        (specs, max, visible) => {
          const claims = new Claims()
          const cache = specs.map(({ key, second }, i) => at(run(`r${i}`, key ? { sessionKey: key } : {}), second))
          const truth = new Map<string, AgentRun>()
          for (let round = 0; round < 3; round++) {
            for (const [i, one] of cache.entries()) {
              if (one.status?.phase === 'Running' || truth.has(one.metadata.name)) continue
              const answer = mayStart({
                run: one,
                siblings: cache,
                claimed: claims.of(one),
                hasRoom: (running) => running < max,
              })
              if (!answer.start) continue
              claims.add(one)
              truth.set(one.metadata.name, one)
              if (!visible.next().value) continue
              const shown = { ...one, status: { phase: 'Running' as const } }
              cache[i] = shown
              claims.observe(shown)
            }
          }
          expect(truth.size).toBeLessThanOrEqual(max)
          const keys = [...truth.values()].flatMap((one) => one.spec.sessionKey ?? [])
          expect(new Set(keys).size).toBe(keys.length)
          // And nobody is left out for nothing: room is only free where a session keeps everyone else out.
          const free = cache.filter((one) => !truth.has(one.metadata.name) && !keys.includes(one.spec.sessionKey ?? ''))
          expect(truth.size === max || free.length === 0).toBe(true)
        },
      ),
    )
  })
})
