import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Pace } from './limits.ts'

const limits = { burst: 3, everyMs: 1_000 }
const times = fc
  .array(fc.nat({ max: 2_000 }), { maxLength: 60 })
  .map((pauses) => pauses.map((_, i) => pauses.slice(0, i + 1).reduce((sum, pause) => sum + pause, 0)))
const judge = (pace: Pace, all: readonly number[]) => all.map((at) => pace.take('U1', new Date(at)))

describe('how fast somebody writes', () => {
  test('is held to what may come at once and what may come more in time', () => {
    const pace = new Pace(limits)
    expect(judge(pace, [0, 0, 0, 0, 0])).toEqual(['within', 'within', 'within', 'over', 'told'])
    expect(judge(pace, [1_000, 1_500, 1_600])).toEqual(['within', 'over', 'told'])
    expect(pace.take('U2', new Date(1_600))).toBe('within')
  })

  test('refuses nothing that was taken before, in a process that hears of what is not done yet again', () => {
    fc.assert(
      fc.property(times, fc.infiniteStream(fc.boolean()), (all, heldStill) => {
        const judged = judge(new Pace(limits), all)
        const held = all.filter((_, i) => judged[i] === 'within' && heldStill.next().value)
        expect(new Set(judge(new Pace(limits), held))).toEqual(new Set(held.length > 0 ? ['within'] : []))
      }),
    )
  })

  test('does not get stricter where a clock is put back', () => {
    const pace = new Pace(limits)
    expect(judge(pace, [10_000, 9_000, 9_000])).toEqual(['within', 'within', 'within'])
    expect(judge(pace, [9_500, 11_000])).toEqual(['over', 'within'])
  })
})
