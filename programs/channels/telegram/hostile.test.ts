import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { startCounted } from '../counted.test-support.ts'
import { connected, started } from './connected.test-support.ts'

type Fields = Record<string, unknown>

const from = { id: 4, is_bot: false, first_name: 'A' }
let last = 0
const message = (more: Fields = {}): Fields => ({
  ...{ message_id: ++last, date: 1_780_000_000, chat: { id: 4, type: 'private' }, from, text: 'hi' },
  ...more,
})

/** What no message has in these places, whatever else it has. */
const wrong: Record<string, readonly unknown[]> = {
  message_id: [undefined, null, '7', 1.5, 1e300, {}],
  date: [undefined, null, '7', -1, 1.5, 1e15, []],
  chat: [undefined, null, 7, 'x', [], {}, { id: '4', type: 'private' }, { id: 4 }, { id: 1e300, type: 'private' }],
  from: [null, 7, {}, [], { ...from, id: 'me' }, { ...from, is_bot: 'no' }, { ...from, first_name: {} }],
  sender_chat: [null, 7, {}, { id: 'x', type: 'channel' }, { id: 1, type: 'channel', title: [] }],
  text: [null, 7, {}, ['/stop'], 'x'.repeat(70_000)],
  caption: [null, 7, {}],
  entities: [null, {}, 'x', [null], [{ type: 'mention' }], [{ type: 'mention', offset: -1, length: 2 }]],
  reply_to_message: [null, 7, 'x', { from: { id: 'x' } }, { from: 7 }],
  forward_origin: [null, false, 0, ''],
  via_bot: [null, false, 0, ''],
  is_automatic_forward: [null, 'false', 0],
  photo: [{}, [], [{}], [{ file_id: 'x' }], [null]],
  document: ['x', {}, { file_id: '' }, { file_id: 'x'.repeat(3_000) }, { file_id: 'x', file_size: -1 }],
}
const noMessage = fc.constantFrom(null, 7, 'x', [], true, {}, [message()]).map((said) => ({ message: said }))
const broken = fc
  .constantFrom(...Object.entries(wrong).flatMap(([field, values]) => values.map((value) => [field, value] as const)))
  .map(([field, value]) => ({ message: message({ [field]: value }) }))
const kinds = ['edited_message', 'channel_post', 'poll', 'callback_query', 'message_reaction', 'new', '__proto__']
/** News of other kinds, which nobody has asked for. */
const other = fc.dictionary(fc.constantFrom(...kinds), fc.jsonValue())
/** Messages all the same, whatever they hold besides. */
const strange = fc
  .dictionary(fc.constantFrom('quote', 'external_reply', 'story', 'effect_id', 'new'), fc.jsonValue())
  .map((more) => ({ message: message(more) }))

const count = { malformed: 8_000, other: 1_600, stored: 400 }
const hostile = () =>
  [
    ...fc.sample(fc.oneof({ weight: 9, arbitrary: broken }, { weight: 1, arbitrary: noMessage }), count.malformed),
    ...fc.sample(other, count.other),
    ...fc.sample(strange, count.stored),
  ].toSorted((a, b) => JSON.stringify(a).length - JSON.stringify(b).length)

test('of ten thousand hostile updates that it asked for the program stores what is a message, and counts the rest', {
  timeout: 240_000,
}, async () => {
  const telegram = await started()
  for (const update of hostile()) telegram.put(update)
  const alice = telegram.user('Alice')
  telegram.say(alice, telegram.direct(alice), 'still there?')
  const env = { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url }
  const { rig, received } = await startCounted(join(import.meta.dirname, 'main.ts'), env)
  await expect
    .poll(received, { timeout: 180_000, interval: 200 })
    .toEqual({ '{result="malformed"}': count.malformed, '{result="stored"}': count.stored + 1 })
  await expect.poll(() => telegram.pending(), { timeout: 20_000 }).toBe(0)
  expect(await rig.stop()).toBe(0)
})

test('of ten thousand hostile bodies at its webhook it takes what is a message, and counts the rest', {
  timeout: 120_000,
}, async () => {
  const secret = 'a_secret_of_a_webhook'
  const telegram = await started()
  const env = { TELEGRAM_WEBHOOK_URL: 'https://bot.example/webhook', TELEGRAM_WEBHOOK_SECRET: secret }
  const { service, received, states, malformed } = connected(telegram, { env })
  await expect.poll(() => states, { timeout: 20_000 }).toContain('Connected Connected')
  const status = async (body: string, given: string) => {
    const headers = new Headers({ 'x-telegram-bot-api-secret-token': given })
    const url = new URL('http://channel/webhook')
    return (await service.webhook({ method: 'POST', url, headers, body: Buffer.from(body) })).status
  }
  const bodies = hostile().map((update, at) => JSON.stringify({ update_id: at + 1, ...update }))
  const statuses = new Set<string>()
  for (let at = 0; at < bodies.length; at += 500) {
    // As Telegram does, many at once.
    const both = bodies.slice(at, at + 500).map(async (body) => {
      return `${await status(body, 'not the secret')} ${await status(body, secret)}`
    })
    for (const answers of await Promise.all(both)) statuses.add(answers)
  }
  expect([...statuses]).toEqual(['401 200'])
  expect(malformed()).toBe(count.malformed)
  expect(received).toHaveLength(count.stored)
  for (const one of [{ message: message() }, { update_id: '1', message: message() }, null, 7, 'x', []])
    expect(await status(JSON.stringify(one), secret)).toBe(200)
  expect(malformed()).toBe(count.malformed + 6)
  const noJson = fc.sample(fc.string({ unit: 'binary', maxLength: 40 }), 1_000).filter((body) => !isJson(body))
  for (const body of noJson) expect(await status(body, secret)).toBe(400)
  expect(malformed()).toBe(count.malformed + 6 + noJson.length)
})

test('what it asked for and cannot confirm is counted once, and not asked for again before a pause', async () => {
  const wrong = [undefined, null, '7', 1.5, -1, 1e300, {}]
  const telegram = await started()
  for (const update_id of wrong) telegram.put({ update_id, message: message() })
  const { ended, malformed, received } = connected(telegram)
  // Whoever begins anew after a failure is the frame, which pauses.
  expect(await ended).toMatchObject({ refusal: 'later', reason: 'NoUpdateId' })
  expect(malformed()).toBe(wrong.length)
  expect(received).toEqual([])
  expect(telegram.calls.filter(({ method }) => method === 'getUpdates')).toHaveLength(1)
  const alice = telegram.user('Alice')
  telegram.say(alice, telegram.direct(alice), 'still there?')
  const after = connected(telegram)
  await expect.poll(() => after.received.map(({ text }) => text), { timeout: 20_000 }).toEqual(['still there?'])
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
