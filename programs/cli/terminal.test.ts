import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { age, safe, safeLine, table } from './terminal.ts'

describe('safe', () => {
  test('shows escapes and bidirectional overrides instead of obeying them', () => {
    expect(safe('a\u001b[2Jb')).toBe('a\\x1b[2Jb')
    expect(safe('a\u202eb\r')).toBe('a\\u202eb\\x0d')
    expect(safe('two\nlines\tand a tab')).toBe('two\nlines\tand a tab')
    expect(safeLine('two\nlines')).toBe('two\\nlines')
  })
  test('lets no control or bidirectional character through, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(safeLine(text)).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
      }),
    )
  })
})

describe('table', () => {
  test('aligns columns and shows an empty cell as kubectl does', () => {
    expect(
      table(
        ['NAME', 'PHASE'],
        [
          ['a-long-name', 'Running'],
          ['b', ''],
        ],
      ),
    ).toBe('NAME          PHASE\na-long-name   Running\nb             <none>')
  })
})

describe('age', () => {
  test('is written as kubectl writes it', () => {
    const at = (seconds: number) =>
      age(new Date(1_000_000_000_000 - seconds * 1000).toISOString(), new Date(1_000_000_000_000))
    expect([5, 119, 200, 600, 7200, 36_000, 400_000].map(at)).toEqual([
      '5s',
      '119s',
      '3m20s',
      '10m',
      '120m',
      '10h',
      '4d',
    ])
  })
})
