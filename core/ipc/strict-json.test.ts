import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NotStrictJson, parseStrictJson } from './strict-json.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

describe('parseStrictJson', () => {
  it('reads whatever JSON.stringify wrote, to the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const text = JSON.stringify(value)
        expect(parseStrictJson(bytes(text))).toEqual(JSON.parse(text))
      }),
    )
  })

  it('refuses exactly what JSON.parse refuses, repeated keys and depth aside', () => {
    const pieces = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '"b"', '1', 'null', ' ', '\n', 'x')
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join('')
        let parsed: unknown
        try {
          parsed = JSON.parse(text)
        } catch {
          expect(() => parseStrictJson(bytes(text))).toThrow(NotStrictJson)
          return
        }
        try {
          expect(parseStrictJson(bytes(text))).toEqual(parsed)
        } catch (error) {
          expect(error).toMatchObject({ message: 'a key is repeated in one object' })
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('refuses any object in which a key is repeated, at any depth and however it is spelt', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), fc.jsonValue(), fc.nat(5), (key, one, two, depth) => {
        const spelt = [...Array(key.length).keys()].map(
          (at) => `\\u${key.charCodeAt(at).toString(16).padStart(4, '0')}`,
        )
        const object = `{${JSON.stringify(key)}:${JSON.stringify(one)},"${spelt.join('')}":${JSON.stringify(two)}}`
        const text = `${'[{"x":'.repeat(depth)}${object}${'}]'.repeat(depth)}`
        expect(() => parseStrictJson(bytes(text))).toThrow('a key is repeated')
      }),
    )
  })

  it('lets equal keys stand in different objects and keys equal values', () => {
    expect(parseStrictJson(bytes('{"a":{"a":"a"},"b":[{"a":1},{"a":"b"}]}'))).toEqual({
      a: { a: 'a' },
      b: [{ a: 1 }, { a: 'b' }],
    })
  })

  it('refuses a byte order mark and bytes that are not UTF-8', () => {
    expect(() => parseStrictJson(bytes('\ufeff{}'))).toThrow('byte order mark')
    expect(() => parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow('not UTF-8')
    expect(() => parseStrictJson(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22))).toThrow('not UTF-8')
    expect(() => parseStrictJson(bytes('"\\ud800"'))).not.toThrow()
  })

  it('refuses what is nested deeper than the bound, without running out of stack', () => {
    expect(parseStrictJson(bytes('[[1]]'), 2)).toEqual([[1]])
    expect(() => parseStrictJson(bytes('[[[1]]]'), 2)).toThrow('nested deeper than 2')
    expect(() => parseStrictJson(bytes('['.repeat(500_000)))).toThrow('nested deeper than 64')
  })
})
