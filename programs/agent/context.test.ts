import type { ModelMessage } from 'ai'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cut, fitContext } from './context.ts'

test('a text that fits is left as it is, a longer one keeps its beginning and its end and says how much is gone', () => {
  expect(cut('short', 10)).toBe('short')
  expect(cut(`${'a'.repeat(60)}${'b'.repeat(100)}${'c'.repeat(40)}`, 100)).toBe(
    `${'a'.repeat(60)}\n[... 100 characters left out ...]\n${'c'.repeat(40)}`,
  )
})

test('no cut leaves half a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 20, maxLength: 60 }), (text) => {
      expect(cut(text, 15).isWellFormed()).toBe(true)
    }),
  )
})

const output = (id: string, size: number): ModelMessage => ({
  role: 'tool',
  content: [
    { type: 'tool-result', toolCallId: id, toolName: 'exec', output: { type: 'text', value: id.repeat(size) } },
  ],
})

test('the oldest outputs make room, and never the one that the model has not seen', () => {
  const messages: ModelMessage[] = [
    { role: 'user', content: 'x'.repeat(500) },
    output('a', 1000),
    output('b', 1000),
    { role: 'assistant', content: 'go on' },
    output('c', 1000),
    { role: 'user', content: 'and besides' },
  ]
  const { messages: fitted, leftOut } = fitContext(messages, 3_000)
  expect(leftOut).toBe(1)
  expect(JSON.stringify(fitted[1])).toContain('left out')
  expect([fitted[0], ...fitted.slice(2)]).toEqual([messages[0], ...messages.slice(2)])
  expect(fitContext(messages, 10).messages.slice(-2)).toEqual(messages.slice(-2))
  expect(fitContext(messages, 10).leftOut).toBe(2)
  expect(fitContext(fitContext(messages, 10).messages, 10).leftOut).toBe(0)
  expect(fitContext(messages, 10_000)).toEqual({ messages, leftOut: 0 })
})
