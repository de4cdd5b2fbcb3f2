import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mistakeIn } from './json-place.ts'

test.each([
  ['{\n  "a": \n}', 3],
  ['{\n  "a": 1,\n}', 3],
  ['{\n  "a" 1 }', 2],
  ['{\n  a: 1 }', 2],
  ['[1,\n2,,3]', 2],
  ['[1\n2]', 2],
  ['{"a": "b\nc"}', 1],
  ['{"a": [\n{}, {"b": tru}]}', 2],
  ['[1]\n\nx', 3],
  ['[01]', 1],
  ['"\\x"', 1],
  ['{\n"a": {\n', 3],
  ['', 1],
])('%j breaks in line %i', (text, line) => {
  expect(() => JSON.parse(text) as unknown).toThrow()
  expect(mistakeIn(text)?.line).toBe(line)
})

test.each([
  ['{"a": "b", "task": "xx', 'task'],
  ['{"a": {"b": [1', 'a'],
  ['{"a": 1, "b', undefined],
  ['{"a": 1, ', undefined],
  ['{"\\u0061": 1,, ', undefined],
  ['{"\\u0061": 01', 'a'],
  ['[{"a": 1', undefined],
])('%j breaks in the field %s', (text, field) => {
  expect(mistakeIn(text)?.field).toBe(field)
})

test('agrees with JSON.parse on what is JSON', () => {
  const pieces = fc.array(fc.constantFrom('{', '}', '[', ']', ',', ':', '"a"', '1', '-2.5e3', 'null', '01', '"', '\n'))
  const texts = fc.oneof(
    fc.json(),
    pieces.map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      expect(mistakeIn(text) === undefined).toBe(isJson(text))
    }),
    { numRuns: 2000 },
  )
})

test('reads a body of a megabyte in one go', () => {
  expect(mistakeIn(`{"task": "${'x\\n'.repeat(300_000)}", "a": }`)?.line).toBe(1)
  expect(mistakeIn('['.repeat(200_000))?.line).toBe(1)
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
