import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RunEvent } from '#core/journal'
import { Speech } from './speech.ts'

const text = (step: number, piece: string, source: 'model' | 'agent' = 'model'): RunEvent => ({
  id: '1.1.1',
  type: 'text',
  data: { step, source, offset: 0, text: piece },
})
const outcome = (result?: string, phase: 'Succeeded' | 'Failed' = 'Succeeded'): RunEvent => ({
  id: '2.0.0',
  type: 'outcome',
  data: {
    ...{ run: 'u', attempt: 1, at: '2026-01-01T00:00:00.000Z', writer: 'bridge', phase, reason: 'Completed' },
    ...(result !== undefined && { result }),
    usage: { inputTokens: 1, outputTokens: 1, modelCalls: 1, toolCalls: 0 },
  },
})
const heard = (...events: RunEvent[]) => {
  const speech = new Speech()
  return events.map((event) => speech.hear(event))
}

describe('what a client reads of a run', () => {
  test('is its text as it comes, and not its result again', () => {
    expect(heard(text(1, 'Hel'), text(1, 'lo.'), outcome('Hello.'))).toEqual(['Hel', 'lo.', ''])
  })

  test('has a blank line between what two steps said', () => {
    expect(heard(text(1, 'I look.'), text(2, 'Sun'), text(2, 'ny.'), outcome('Sunny.\n'))).toEqual([
      'I look.',
      '\n\nSun',
      'ny.',
      '',
    ])
    expect(heard(text(1, 'Thinking'), text(1, 'Done', 'agent'))).toEqual(['Thinking', '\n\nDone'])
  })

  test('ends with the result where it was not said last', () => {
    expect(heard(outcome('Sunny.'))).toEqual(['Sunny.'])
    expect(heard(text(1, 'Sunny.'), text(2, 'Done'), outcome('Sunny.'))).toEqual(['Sunny.', '\n\nDone', '\n\nSunny.'])
  })

  test('says nothing of the result of a run that failed', () => {
    expect(heard(text(1, 'I try.'), outcome('half', 'Failed'))).toEqual(['I try.', ''])
  })

  test('loses and repeats no text, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.string()), { maxLength: 5 }), (steps) => {
        const events = steps.flatMap((pieces, step) => pieces.map((piece) => text(step + 1, piece)))
        const whole = steps.map((pieces) => pieces.join('')).filter((step) => step !== '')
        expect(heard(...events).join('')).toBe(whole.join('\n\n'))
      }),
    )
  })
})
