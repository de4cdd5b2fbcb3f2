import { expect, test } from 'vitest'
import { costText } from './usage.ts'

test.each([
  [null, 0, 'unknown'],
  [0, 0, '$0.00'],
  [1_230_000, 0, '$1.23'],
  [42, 0, '$0.000042'],
  [250_000, 3, '>$0.25'],
])('%s millionths with %d calls unmetered are shown as %3$s', (costMicroUSD, unmetered, text) => {
  expect(costText({ costMicroUSD, unmetered })).toBe(text)
})
