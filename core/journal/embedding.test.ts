import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeVector, encodeVector } from './index.ts'

test('a vector comes out of the record with its direction, whatever a provider gave', () => {
  const numbers = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 64 })
  fc.assert(
    fc.property(numbers, (values) => {
      const told = { dimensions: values.length, vector: encodeVector(values) }
      const read = decodeVector(told)
      if (values.every((value) => value === 0)) return expect(read).toBeUndefined()
      const length = Math.hypot(...(read ?? []))
      expect(length).toBeCloseTo(1, 5)
      const largest = values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
      const at = values.indexOf(largest)
      for (const [i, value] of values.entries()) {
        expect((read?.[i] ?? Number.NaN) / (read?.[at] ?? 0)).toBeCloseTo(value / largest, 4)
      }
    }),
  )
})

test('what is no vector of that length, or has no direction, is none', () => {
  const vector = encodeVector([1, 2])
  expect(decodeVector({ dimensions: 3, vector })).toBeUndefined()
  expect(decodeVector({ dimensions: 1, vector: '' })).toBeUndefined()
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY])
    expect(decodeVector({ dimensions: 2, vector: encodeVector([1, odd]) })).toBeUndefined()
})
