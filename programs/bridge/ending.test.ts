import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Ending } from './ending.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** One with so much time left, where nothing is to be seen at the last look unless the test says so. */
const endingIn = (leftMs: number, lastLook: (ending: Ending) => void = () => undefined): Ending => {
  const deadline = Date.now() + leftMs
  const ending: Ending = new Ending({ timeoutSeconds: 60, deadline, lastLook: () => lastLook(ending) })
  return ending
}
const decidedBy = (ending: Ending) => Promise.race([ending.decided, Promise.resolve({ phase: 'undecided' })])

describe('the first of what ends a run decides', () => {
  it('a result, before its time is over', async () => {
    const ending = endingIn(60_000)
    ending.result({ status: 'success', response: 'one' }, Date.now())
    ending.result({ status: 'success', response: 'two' }, Date.now())
    ending.cancel('late', 0, Date.now())
    await vi.runAllTimersAsync()
    expect(await decidedBy(ending)).toEqual({ phase: 'Succeeded', reason: 'Completed', result: 'one' })
  })

  it('the end of its time, which may be over already', async () => {
    const ending = endingIn(-5)
    await vi.runAllTimersAsync()
    ending.result({ status: 'success', response: 'late' }, Date.now())
    expect(await decidedBy(ending)).toMatchObject({ phase: 'TimedOut', reason: 'DeadlineExceeded' })
  })

  it('a cancellation, when its grace is over and not before', async () => {
    const ending = endingIn(60_000)
    ending.cancel('stop', 10, Date.now())
    ending.cancel('stop again', 0, Date.now())
    await vi.advanceTimersByTimeAsync(9_999)
    expect(await decidedBy(ending)).toEqual({ phase: 'undecided' })
    await vi.advanceTimersByTimeAsync(1)
    expect(await decidedBy(ending)).toEqual({ phase: 'Cancelled', reason: 'Cancelled', error: 'stop' })
  })

  it('a result or the end of the time within the grace ends it, cancelled none the less', async () => {
    const told = endingIn(60_000)
    told.cancel('stop', 10, Date.now())
    told.result({ status: 'error', error: { code: 'x', message: 'y' }, response: 'half' }, Date.now())
    expect(await decidedBy(told)).toEqual({ phase: 'Cancelled', reason: 'Cancelled', error: 'stop', result: 'half' })
    const late = endingIn(5_000)
    late.cancel('', 10, Date.now())
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await decidedBy(late)).toEqual({ phase: 'Cancelled', reason: 'Cancelled' })
  })

  it('a result that was written in time counts, whenever it is seen, and one of later is of a run that took too long', async () => {
    const done = { status: 'success', response: 'done' } as const
    const gaveUp = { status: 'error', error: { code: 'timeout', message: 'mine' }, response: 'half' } as const
    const timedOut = { phase: 'TimedOut', reason: 'DeadlineExceeded', error: 'the run took longer than 60 s' }
    const deadline = Date.now() + 5_000
    const [inTime, seenLast, seenLate, given] = [
      endingIn(5_000),
      endingIn(5_000, (ending) => ending.result(done, deadline - 1)),
      endingIn(5_000, (ending) => ending.result(gaveUp, deadline)),
      endingIn(5_000),
    ]
    // The clock goes on and the timers do not, as in a process that is not given the processor.
    vi.setSystemTime(deadline + 10)
    inTime.result(done, deadline - 1)
    given.result(gaveUp, deadline + 5)
    await vi.runAllTimersAsync()
    expect(await decidedBy(inTime)).toMatchObject({ phase: 'Succeeded', result: 'done' })
    expect(await decidedBy(seenLast)).toMatchObject({ phase: 'Succeeded', result: 'done' })
    expect(await decidedBy(seenLate)).toEqual({ ...timedOut, result: 'half' })
    expect(await decidedBy(given)).toEqual({ ...timedOut, result: 'half' })
  })

  it('a result of before the agent was told of a cancel counts as what it is, also at the end of the grace', async () => {
    const done = { status: 'success', response: 'done' } as const
    const toldAt = Date.now() + 1_000
    const [before, after, atLast] = [
      endingIn(60_000),
      endingIn(60_000),
      endingIn(60_000, (ending) => ending.result(done, toldAt - 1)),
    ]
    for (const ending of [before, after, atLast]) ending.cancel('stop', 10, toldAt)
    before.result(done, toldAt - 1)
    after.result(done, toldAt)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await decidedBy(before)).toEqual({ phase: 'Succeeded', reason: 'Completed', result: 'done' })
    expect(await decidedBy(after)).toEqual({ phase: 'Cancelled', reason: 'Cancelled', error: 'stop', result: 'done' })
    expect(await decidedBy(atLast)).toEqual({ phase: 'Succeeded', reason: 'Completed', result: 'done' })
  })
})
