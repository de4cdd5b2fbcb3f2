import fc from 'fast-check'
import { expect, it } from 'vitest'
import { matchesGlob } from './glob.ts'

it.each([
  ['*.ts', 'a/b/c.ts', true],
  ['*.ts', 'c.tsx', false],
  ['a/*.ts', 'a/c.ts', true],
  ['a/*.ts', 'a/b/c.ts', false],
  ['a/**', 'a/b/c.ts', true],
  ['**/c.ts', 'a/b/c.ts', true],
  ['c?.ts', 'c1.ts', true],
  ['c?.ts', 'c.ts', false],
  ['a?b/x', 'a/b/x', false],
  ['[a]', 'a', false],
  ['*', 'anything', true],
])('%s against %s: %s', (glob, path, expected) => expect(matchesGlob(glob, path)).toBe(expected))

it('agrees with a regular expression that says the same', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[ab/*?]{1,8}$/), fc.stringMatching(/^[ab/]{0,8}$/), (glob, path) => {
      fc.pre(glob.includes('/'))
      const source = glob.replaceAll(/\*\*|\*|\?/g, (star) => ({ '**': '.*', '*': '[^/]*', '?': '[^/]' })[star] ?? '')
      expect(matchesGlob(glob, path)).toBe(new RegExp(`^${source}$`).test(path))
    }),
    { numRuns: 2000 },
  )
})

it('ends at once with a glob that would keep a backtracking matcher busy for ever', () => {
  expect(matchesGlob(`${'*a'.repeat(128)}/**`, 'a'.repeat(250))).toBe(false)
})
