import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Ending } from './ending.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const decidedBy = (ending: Ending) => Promise.race([ending.decided, Promise.resolve({ phase: 'undecided' })])

describe('the first of what ends a run decides', () => {
  it('a result, before its time is over', async () => {
    const ending = new Ending(60_000, 60)
    ending.result({ status: 'success', response: 'one' })
    ending.result({ status: 'success', response: 'two' })
    ending.cancel('late', 0)
    await vi.runAllTimersAsync()
    expect(await decidedBy(ending)).toEqual({ phase: 'Succeeded', reason: 'Completed', result: 'one' })
  })

  it('the end of its time, which may be over already', async () => {
    const ending = new Ending(-5, 60)
    await vi.runAllTimersAsync()
    ending.result({ status: 'success', response: 'late' })
    expect(await decidedBy(ending)).toMatchObject({ phase: 'TimedOut', reason: 'DeadlineExceeded' })
  })

  it('a cancellation, when its grace is over and not before', async () => {
    const ending = new Ending(60_000, 60)
    ending.cancel('stop', 10)
    ending.cancel('stop again', 0)
    await vi.advanceTimersByTimeAsync(9_999)
    expect(await decidedBy(ending)).toEqual({ phase: 'undecided' })
    await vi.advanceTimersByTimeAsync(1)
    expect(await decidedBy(ending)).toEqual({ phase: 'Cancelled', reason: 'Cancelled', error: 'stop' })
  })

  it('a result or the end of the time within the grace ends it, cancelled none the less', async () => {
    const told = new Ending(60_000, 60)
    told.cancel('stop', 10)
    told.result({ status: 'error', error: { code: 'x', message: 'y' }, response: 'half' })
    expect(await decidedBy(told)).toEqual({ phase: 'Cancelled', reason: 'Cancelled', error: 'stop', result: 'half' })
    const late = new Ending(5_000, 5)
    late.cancel('', 10)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await decidedBy(late)).toEqual({ phase: 'Cancelled', reason: 'Cancelled' })
  })
})
