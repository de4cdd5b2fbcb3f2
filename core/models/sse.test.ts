import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxEventBytes, SseReader } from './sse.ts'

const bytes = (text: string) => Buffer.from(text, 'utf8')

function read(chunks: Uint8Array[]) {
  const reader = new SseReader()
  const events = chunks.flatMap((chunk) => reader.push(chunk))
  const last = reader.end()
  return last ? [...events, last] : events
}

/** Cuts bytes at arbitrary places, between and inside characters. */
const cuts = (whole: Buffer) =>
  fc.array(fc.nat({ max: whole.length }), { maxLength: 20 }).map((places) => {
    const sorted = [0, ...places.sort((a, b) => a - b), whole.length]
    return sorted.slice(1).map((end, i) => whole.subarray(sorted[i], end))
  })

describe('the reader of server-sent events', () => {
  it('joins data lines, keeps event names, and ignores comments and unknown fields', () => {
    const events = read([bytes(': ping\nid: 7\nevent: a\ndata: one\ndata:two\n\ndata\n\nretry: 5\n\n')])
    expect(events.map(({ event, data }) => ({ event, data }))).toEqual([
      { event: 'a', data: 'one\ntwo' },
      { event: 'message', data: '' },
      { event: 'message', data: '' },
    ])
  })

  it('drops a byte order mark at the start and nowhere else', () => {
    expect(read([bytes('\uFEFFdata: x\n\ndata: \uFEFFy\n\n')]).map((e) => e.data)).toEqual(['x', '\uFEFFy'])
  })

  it('gives what came after the last blank line at the end', () => {
    expect(read([bytes('data: a\n\ndata: b\n')]).map((e) => e.data)).toEqual(['a', 'b'])
  })

  it('reads the same events and keeps every byte, wherever the bytes are cut and however lines end', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 12 }).map((s) => s.replace(/[\r\n]/g, ''))
    const stream = fc
      .tuple(
        fc.array(fc.array(line, { minLength: 1, maxLength: 3 }), { maxLength: 6 }),
        fc.constantFrom('\n', '\r\n', '\r'),
      )
      .map(([events, eol]) => ({
        wanted: events.map((lines) => lines.join('\n')),
        whole: bytes(events.map((lines) => lines.map((l) => `data: ${l}${eol}`).join('') + eol).join('')),
      }))
    fc.assert(
      fc.property(
        stream.chain((s) =>
          fc.record({ wanted: fc.constant(s.wanted), whole: fc.constant(s.whole), chunks: cuts(s.whole) }),
        ),
        ({ wanted, whole, chunks }) => {
          const events = read(chunks)
          expect(events.filter((e) => /\S/.test(Buffer.from(e.raw).toString())).map((e) => e.data)).toEqual(wanted)
          expect(Buffer.concat(events.map((e) => e.raw)).equals(whole)).toBe(true)
        },
      ),
    )
  })

  it('keeps every byte of what is no event stream at all', () => {
    fc.assert(
      fc.property(
        fc
          .uint8Array({ maxLength: 200 })
          .map(Buffer.from)
          .chain((whole) => fc.tuple(fc.constant(whole), cuts(whole))),
        ([whole, chunks]) => {
          expect(Buffer.concat(read(chunks).map((e) => e.raw)).equals(whole)).toBe(true)
        },
      ),
    )
  })

  it('refuses an event that never ends', () => {
    const reader = new SseReader()
    const chunk = Buffer.alloc(maxEventBytes / 2, 'x')
    expect(() => [1, 2, 3].map(() => reader.push(chunk))).toThrow(/larger than 4 MiB/)
  })
})
