import fc from 'fast-check'
import { expect, test } from 'vitest'
import { health, maxText, received, sendItem } from './index.ts'

const message = {
  id: '77',
  at: '2026-01-02T03:04:05Z',
  chat: { id: '5', kind: 'direct' },
  sender: { id: '5', name: 'Ada', kind: 'person' },
  text: 'hello',
  mentioned: true,
  mayCommand: true,
  attachments: [],
}
const place = { id: 'u-reply', chat: { id: '5' } }
const run = { uid: 'u', name: 'hello-1' }

test('what a channel says and is told has these shapes and no others', () => {
  expect(received.parse(message)).toEqual(message)
  for (const item of [
    { type: 'notice', ...place, text: 'x' },
    { type: 'turn', ...place, run },
    { type: 'reply', ...place, run, phase: 'Failed', text: 'x' },
  ]) {
    expect(sendItem.parse(item)).toEqual(item)
    expect(sendItem.safeParse({ ...item, more: 1 }).success).toBe(false)
  }
  for (const wrong of [
    { ...message, more: 1 },
    { ...message, id: '' },
    { ...message, id: 'x'.repeat(129) },
    { ...message, text: 'x'.repeat(maxText + 1) },
    { ...message, sender: { ...message.sender, kind: 'webhook' } },
    { ...message, chat: { ...message.chat, kind: 'channel' } },
    { ...message, mayCommand: undefined },
    { ...message, attachments: Array(11).fill({ name: 'a', mimeType: 'b', size: 1 }) },
  ]) {
    expect(received.safeParse(wrong).success).toBe(false)
  }
})

test('a reason is one word in CamelCase', () => {
  const said = { state: 'Error', reason: 'WrongToken', message: 'The service refuses the token.', at: message.at }
  expect(health.parse(said)).toEqual(said)
  for (const reason of ['wrong token', 'wrongToken', '', 'A b', 'A1']) {
    expect(health.safeParse({ ...said, reason }).success).toBe(false)
  }
})

test('whatever else arrives is refused and does not throw', () => {
  fc.assert(
    fc.property(fc.anything(), (junk) => {
      for (const shape of [received, sendItem, health]) expect(shape.safeParse(junk).success).toBe(false)
    }),
  )
})
