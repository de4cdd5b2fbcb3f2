import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Capture, clip } from './capture.ts'

const pieces = fc.array(
  fc.oneof(
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 40 }).map(Buffer.from),
  ),
  { maxLength: 20 },
)

it('gives everything back while it fits, however it was cut into chunks', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 7 }), (text, size) => {
      const bytes = Buffer.from(text)
      const capture = new Capture(4096)
      for (let at = 0; at < bytes.length; at += size) capture.add(bytes.subarray(at, at + size))
      expect(capture.text(4096)).toEqual({ text: bytes.toString(), truncated: false })
    }),
  )
})

it('never gives more than asked for, whatever came, and says when something is missing', () => {
  fc.assert(
    fc.property(pieces, fc.integer({ min: 64, max: 256 }), (chunks, max) => {
      const capture = new Capture(128)
      for (const chunk of chunks) capture.add(chunk)
      const { text, truncated } = capture.text(max)
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(max)
      if (!truncated) expect(text).toBe(Buffer.concat(chunks).toString())
    }),
  )
})

it('keeps beginning and end, and cuts no character in two', () => {
  const capture = new Capture(1000)
  capture.add(Buffer.from('begin'))
  for (let i = 0; i < 1000; i++) capture.add(Buffer.from('ä€😀'))
  capture.add(Buffer.from('end'))
  const { text, truncated } = capture.text(1000)
  expect(truncated).toBe(true)
  expect(text).toMatch(/^begin(ä€😀)*[ä€]{0,2}\n\[\.\.\..*\]\n[€😀]{0,2}(ä€😀)*end$/u)
  expect(clip('😀'.repeat(100), 200).text).not.toContain('\ufffd')
})

it('holds no more than its limit and one chunk, whatever comes', () => {
  const capture = new Capture(1000)
  const chunk = Buffer.alloc(65_536, 'x')
  for (let i = 0; i < 10_000; i++) capture.add(chunk)
  expect(Buffer.byteLength(capture.text(1_000_000).text)).toBeLessThan(70_000)
})
