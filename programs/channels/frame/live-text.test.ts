import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LiveMessage } from '#core/journal'
import { LiveText } from './live-text.ts'

const piece = (text: string, offset: number, step = 1, attempt = 1): LiveMessage => ({
  ...{ attempt, step, offset, text },
  kind: 'text',
  source: 'model',
})

test('pieces in order, some of them twice, give the text', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.boolean()), { minLength: 1 }), (parts) => {
      const live = new LiveText()
      let whole = ''
      for (const [text, twice] of parts) {
        const before = whole.length
        whole += text
        expect(live.take(piece(text, before))).toBe(true)
        if (twice) expect(live.take(piece(text, before))).toBe(false)
      }
      expect(live.text).toBe(whole)
    }),
  )
})

test('a later step or attempt takes the place of the one before, and an earlier one comes too late', () => {
  const live = new LiveText()
  live.take(piece('I look.', 0))
  expect(live.take(piece('Found.', 0, 2))).toBe(true)
  expect(live.take(piece(' More.', 7, 1))).toBe(false)
  expect(live.text).toBe('Found.')
  expect(live.take(piece('Anew.', 0, 1, 2))).toBe(true)
  expect(live.text).toBe('Anew.')
})

test('what was missed is shown as left out', () => {
  const live = new LiveText()
  live.take(piece('end of it', 20))
  expect(live.text).toBe('… end of it')
  live.take(piece('.', 29))
  expect(live.text).toBe('… end of it.')
})
