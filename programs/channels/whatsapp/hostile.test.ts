import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { freePort } from '../../../test/support/ports.ts'
import { startCounted } from '../counted.test-support.ts'
import {
  called,
  inbox,
  malformed,
  now,
  patient,
  request,
  service,
  signed,
  useWhatsApp,
  whatsapp,
  words,
} from './connected.test-support.ts'

useWhatsApp()

test('refuses or passes over 10,000 hostile requests, and counts them', { timeout: 240_000 }, async () => {
  await called()
  const strange = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.string(),
    fc.constantFrom('__proto__', -1, 1e308, '😀', null),
  )
  const rarely = fc.oneof({ weight: 19, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: strange })
  const mostly = (good: fc.Arbitrary<unknown>) =>
    fc.oneof({ weight: 9, arbitrary: good }, { weight: 1, arbitrary: strange })
  const message = fc.record({
    id: mostly(fc.string({ unit: 'binary', minLength: 1, maxLength: 600 })),
    timestamp: mostly(fc.oneof(fc.constant(now().timestamp), fc.stringMatching(/^\d{1,14}$/))),
    from: mostly(fc.constant('4915')),
    from_user_id: mostly(fc.constantFrom('DE.1', undefined)),
    type: mostly(fc.constantFrom('text', 'image', 'location', 'constructor', 'edit')),
    text: mostly(fc.record({ body: fc.string({ unit: 'binary' }) })),
    image: mostly(fc.record({ id: fc.string(), mime_type: strange, caption: strange })),
    ...{ group_id: rarely, context: rarely, location: rarely, interactive: rarely, button: rarely },
  })
  const status = fc.record({
    id: strange,
    status: fc.constantFrom('failed', 'sent'),
    errors: strange,
    recipient_id: strange,
  })
  const list = (of: fc.Arbitrary<unknown>) => mostly(fc.array(of, { maxLength: 3 }))
  const value = fc.record({
    messages: list(message),
    statuses: list(status),
    contacts: list(strange),
    errors: list(strange),
  })
  const payload = fc.oneof(
    { weight: 1, arbitrary: strange },
    { weight: 8, arbitrary: value.map((one) => whatsapp.wrap(one)) },
    { weight: 1, arbitrary: fc.record({ object: fc.constant('whatsapp_business_account'), entry: strange }) },
  )
  const header = fc.oneof(fc.stringMatching(/^[!-~]{0,80}$/), fc.stringMatching(/^sha256=[0-9a-f]{64}$/))
  const forged = fc
    .tuple(fc.string({ unit: 'binary' }), header)
    .map(([body, signature]) => request(body, { 'x-hub-signature-256': signature }))
  const some = fc.oneof(
    forged,
    fc.string({ unit: 'binary' }).map(signed),
    payload.map((one) => signed(JSON.stringify(one))),
  )
  const statuses = new Map<number, number>()
  const all = fc.sample(some, { numRuns: 10_000, seed: 5 })
  // As Meta does, some at once.
  for (let at = 0; at < all.length; at += 50) {
    const answers = await Promise.all(all.slice(at, at + 50).map((one) => service.webhook(one)))
    for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  expect([...statuses.keys()].sort()).toEqual([200, 400, 401])
  expect(malformed).toBeGreaterThan(statuses.get(400) ?? 0)
  // What by chance has the form of a message is one, within all bounds: the inbox holds nothing else.
  expect(inbox.length).toBeGreaterThan(20)
  expect(new Set(inbox.map(({ sender }) => sender.id))).toEqual(new Set(['4915', 'DE.1']))
  whatsapp.say(whatsapp.person(), 'after it all')
  await expect.poll(() => inbox.at(-1)?.text, patient).toBe('after it all')
})

/** What no message has in these places, whatever else it has. */
const wrong: Record<string, readonly unknown[]> = {
  id: [undefined, null, 7, '', 'x'.repeat(600), {}],
  timestamp: [undefined, null, 7, '', 'now', '1'.repeat(12), '-1'],
  from: [7, '', '+49 151', 'x', {}, ['49151']],
  from_user_id: [7, '', 'de.1', '../me', {}],
  group_id: [7, '', 'x'.repeat(121), {}],
  type: [undefined, null, 7, {}],
  context: [7, 'x', [], { from: 7 }, { forwarded: 'no' }],
  text: [null, 7, 'x', {}, { body: 7 }, { body: 'x'.repeat(70_000) }],
  image: [null, 'x', {}, { id: '' }, { id: 7 }, { id: '1', caption: {} }],
  interactive: [null, 'x', { button_reply: 'x' }, { list_reply: {} }],
  location: [null, {}, { latitude: '1', longitude: 2 }],
}

test('of ten thousand hostile messages the program stores none, counts each, and goes on', {
  timeout: 240_000,
}, async () => {
  const listen = `127.0.0.1:${await freePort()}`
  const env = { ...whatsapp.env, K8SCLAW_LISTEN: listen }
  const { rig, received, answered } = await startCounted(join(import.meta.dirname, 'main.ts'), env)
  let last = 0
  const message = (more: object) => ({ id: `wamid.${++last}`, from: '49151', ...now(), ...words('hi'), ...more })
  const broken = fc
    .constantFrom(...Object.entries(wrong).flatMap(([field, all]) => all.map((value) => [field, value] as const)))
    .map(([field, value]) => message({ [field]: value }))
  const hostile = fc.oneof(
    { weight: 9, arbitrary: broken },
    { weight: 1, arbitrary: fc.constantFrom(null, 7, 'x', [], true, {}, [{}]) },
  )
  const post = async (payload: object, headers?: Record<string, string>) => {
    const body = JSON.stringify(payload)
    const init = { method: 'POST', body, headers: headers ?? whatsapp.sign(body) }
    return (await fetch(`http://${listen}/webhook`, init)).status
  }
  const all = fc.sample(hostile, 10_000)
  for (let at = 0; at < all.length; at += 100)
    expect(await post(whatsapp.wrap({ messages: all.slice(at, at + 100) }))).toBe(200)
  expect(await post(whatsapp.wrap({ messages: [message({})] }), { 'x-hub-signature-256': 'sha256=0' })).toBe(401)
  expect(await post(whatsapp.wrap({ messages: [message({ id: 'wamid.real' })] }))).toBe(200)
  const counted = { '{result="malformed"}': all.length, '{result="stored"}': 1 }
  await expect.poll(received, { timeout: 60_000 }).toEqual(counted)
  await expect.poll(answered, { timeout: 60_000 }).toEqual({ '{status="200"}': 101, '{status="401"}': 1 })
  expect(await rig.stop()).toBe(0)
})
