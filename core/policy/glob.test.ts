import fc from 'fast-check'
import { expect, test } from 'vitest'
import { matchesGlob } from './glob.ts'

test.each([
  ['exec', 'exec', true],
  ['exec', 'exec2', false],
  ['*', '', true],
  ['*', 'anything', true],
  ['*_file*', 'read_file', true],
  ['*_file*', 'list_files', true],
  ['*_file*', 'exec', false],
  ['mcp_*_read', 'mcp_a_read', true],
  ['mcp_*_read', 'mcp_read', false],
  ['a*a', 'a', false],
  ['ab*ba', 'aba', false],
  ['a.c', 'abc', false],
])('glob %s against %s is %s', (glob, name, expected) => {
  expect(matchesGlob(glob, name)).toBe(expected)
})

/** The definition itself: slow, and plainly right. */
function byDefinition(glob: string, name: string): boolean {
  if (glob === '') return name === ''
  if (glob[0] !== '*') return glob[0] === name[0] && byDefinition(glob.slice(1), name.slice(1))
  return byDefinition(glob.slice(1), name) || (name !== '' && byDefinition(glob, name.slice(1)))
}

test('a glob matches exactly what its definition says', () => {
  const text = (letters: string[]) => fc.array(fc.constantFrom(...letters), { maxLength: 8 }).map((l) => l.join(''))
  fc.assert(
    fc.property(text(['a', 'b', '*']), text(['a', 'b']), (glob, name) => {
      expect(matchesGlob(glob, name)).toBe(byDefinition(glob, name))
    }),
    { numRuns: 2000 },
  )
})

test('a pattern made to backtrack is answered at once', () => {
  expect(matchesGlob(`${'*a'.repeat(63)}*b`, 'a'.repeat(100_000))).toBe(false)
})
