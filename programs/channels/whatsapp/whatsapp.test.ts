import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Received, received } from '#core/channels'
import { createLogger } from '#core/telemetry'
import { startWhatsApp, type WhatsAppService } from '../../../test/services/whatsapp.ts'
import type { Host, Memory, WebhookRequest } from '../frame/index.ts'
import { channelServer } from '../frame/server.ts'
import { toServiceError } from './refusals.ts'
import { WhatsApp } from './service.ts'
import { variables } from './settings.ts'

const patient = { timeout: 20_000, interval: 20 }
const log = createLogger('channel-whatsapp-test')
log.level = 'silent'

let whatsapp: WhatsAppService
let service: WhatsApp
let stop: AbortController
let inbox: Received[]
let healths: string[]
let malformed: number
let remembered: Map<string, readonly string[]>
let store: () => Promise<void>
let connecting: Promise<void> | undefined
let server: ReturnType<typeof channelServer> | undefined

beforeEach(async () => {
  whatsapp = await startWhatsApp()
  stop = new AbortController()
  inbox = []
  healths = []
  malformed = 0
  remembered = new Map()
  store = async () => {}
})
afterEach(async () => {
  stop.abort()
  await connecting?.catch(() => {})
  server?.closeAllConnections()
  server?.close()
  server = undefined
  await whatsapp.close()
})

const memory: Memory = {
  recall: async (name) => remembered.get(name),
  remember: async (name, words) => void remembered.set(name, words),
}

function connect(more: Record<string, string> = {}): Promise<void> {
  service = new WhatsApp(variables.parse({ ...whatsapp.env, ...more }))
  const host: Host = {
    log,
    health: ({ state, reason }) => healths.push(`${state} ${reason}`),
    malformed: () => void malformed++,
    received: async (message) => {
      await store()
      inbox.push(received.parse(message))
    },
  }
  connecting = service.connect(host, stop.signal, memory)
  connecting.catch(() => {})
  return connecting
}

/** Connected, and called by Meta. */
async function called(more: Record<string, string> = {}): Promise<void> {
  void connect(more)
  await expect.poll(() => healths, patient).toContain('Connected Connected')
  server = channelServer(service, () => true, log).listen(0, '127.0.0.1')
  await expect.poll(() => server?.listening, patient).toBe(true)
  const { port } = server.address() as AddressInfo
  expect(await whatsapp.callAt(`http://127.0.0.1:${port}/webhook`)).toBe(true)
}

const request = (body: string, headers: Record<string, string>): WebhookRequest => ({
  ...{ method: 'POST', url: new URL('http://channel/webhook'), headers: new Headers(headers) },
  body: Buffer.from(body),
})
const signed = (body: string) => request(body, whatsapp.sign(body))
const delivered = async () => await expect.poll(() => whatsapp.pending(), patient).toBe(0)
const options = (more: object = {}) => ({ key: 'k', plain: false, signal: stop.signal, ...more })
const text = { text: 'a *b*', plain: 'a b' }
const post = (chat: string, words = text) =>
  service.post({ chat }, words, options()).catch(({ refusal, reason, afterMs }) => [refusal, reason, afterMs])

test('the settings name what is empty or of no use', () => {
  const paths = (more: object) =>
    variables.safeParse({ ...whatsapp.env, ...more }).error?.issues.map(({ path }) => path.join())
  expect(paths({})).toBeUndefined()
  const keys = ['WHATSAPP_ACCESS_TOKEN', 'WHATSAPP_PHONE_NUMBER_ID', 'WHATSAPP_APP_SECRET', 'WHATSAPP_VERIFY_TOKEN']
  for (const key of [...keys, 'WHATSAPP_TEMPLATE']) expect(new Set(paths({ [key]: '' })), key).toEqual(new Set([key]))
  expect(paths({ WHATSAPP_PHONE_NUMBER_ID: '1234567/../me' })).toEqual(['WHATSAPP_PHONE_NUMBER_ID'])
  expect(paths({ WHATSAPP_TEMPLATE: 'come_back' })).toEqual(['WHATSAPP_TEMPLATE'])
  expect(paths({ WHATSAPP_TEMPLATE: 'come_back:en' })).toBeUndefined()
})

describe('the webhook', () => {
  test('answers the challenge of who knows the verify token, and nobody else', async () => {
    service = new WhatsApp(variables.parse(whatsapp.env))
    const get = async (query: Record<string, string>) => {
      const url = new URL(`http://channel/webhook?${new URLSearchParams(query)}`)
      return await service.webhook({ method: 'GET', url, headers: new Headers(), body: Buffer.alloc(0) })
    }
    const good = { 'hub.mode': 'subscribe', 'hub.verify_token': whatsapp.secrets.verify, 'hub.challenge': '115820' }
    expect(await get(good)).toEqual({ status: 200, body: '115820' })
    expect(await get({ ...good, 'hub.verify_token': 'other-token' })).toEqual({ status: 403 })
    expect(await get({ ...good, 'hub.verify_token': '' })).toEqual({ status: 403 })
    expect(await get({ ...good, 'hub.mode': 'unsubscribe' })).toEqual({ status: 403 })
    expect(await get({ ...good, 'hub.challenge': '<script>' })).toEqual({ status: 403 })
    expect(await get({})).toEqual({ status: 403 })
  })

  test('takes nothing that Meta has not signed as it stands', async () => {
    await called()
    const body = JSON.stringify(whatsapp.wrap({ messages: [] }))
    const good = whatsapp.sign(body)
    const status = async (headers: Record<string, string>, sent = body) =>
      (await service.webhook(request(sent, headers))).status
    expect(await status(good)).toBe(200)
    expect(await status({})).toBe(401)
    expect(await status({ 'x-hub-signature-256': good['x-hub-signature-256'].toUpperCase() })).toBe(401)
    expect(await status({ 'x-hub-signature-256': `${good['x-hub-signature-256']}0` })).toBe(401)
    expect(await status({ 'x-hub-signature': good['x-hub-signature-256'] })).toBe(401)
    expect(await status(good, `${body} `)).toBe(401)
    expect(await status(whatsapp.sign('{'), '{')).toBe(400)
    expect((await service.webhook({ ...signed(body), method: 'PUT' })).status).toBe(405)
  })

  test('tells Meta that a message was taken once it is stored, and no sooner', async () => {
    await called()
    store = async () => {
      throw new Error('no bus')
    }
    whatsapp.say(whatsapp.person(), 'hold on')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(whatsapp.pending()).toBe(1)
    store = async () => {}
    await expect.poll(() => inbox.map((one) => one.text), patient).toEqual(['hold on'])
    await delivered()
  })

  test('takes messages while the API does not answer', async () => {
    await called()
    whatsapp.refuse(2, { status: 503 })
    const body = JSON.stringify(
      whatsapp.wrap({ messages: [{ id: 'wamid.1', from: '49151', ...now(), ...words('hello') }] }),
    )
    expect(await service.webhook(signed(body))).toEqual({ status: 200 })
    expect(inbox).toMatchObject([{ sender: { id: '49151', name: '49151' } }])
  })

  test('takes as much at once as Meta sends, and leaves with Meta what it could not keep', async () => {
    await called()
    const said = (id: string) => ({ id, from: '49151', ...now(), ...words('x'.repeat(65_000)) })
    const large = (at: number) =>
      JSON.stringify(whatsapp.wrap({ messages: Array.from({ length: 47 }, (_, n) => said(`${at}-${n}`)) }))
    expect(large(0).length).toBeGreaterThan(3_000_000)
    if (!server) throw new Error('no server')
    const { port } = server.address() as AddressInfo
    const call = async (at: number) => {
      const init = { method: 'POST', body: large(at), headers: whatsapp.sign(large(at)) }
      return (await fetch(`http://127.0.0.1:${port}/webhook`, init)).status
    }
    expect(await call(0)).toBe(200)
    expect(inbox).toHaveLength(47)
    const bus = Promise.withResolvers<void>()
    store = () => bus.promise
    const taken = Array.from({ length: 5 }, (_, at) => service.webhook(signed(large(at + 1))))
    expect(await service.webhook(signed(large(6)))).toEqual({ status: 503 })
    bus.resolve()
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect((await service.webhook(signed(large(6)))).status).toBe(200)
  })

  test('refuses or passes over 10,000 hostile requests, and counts them', { timeout: 120_000 }, async () => {
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
    for (const one of fc.sample(some, { numRuns: 10_000, seed: 5 })) {
      const { status } = await service.webhook(one)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    expect([...statuses.keys()].sort()).toEqual([200, 400, 401])
    expect(malformed).toBeGreaterThan(statuses.get(400) ?? 0)
    // What by chance has the form of a message is one, within all bounds: the inbox holds nothing else.
    expect(inbox.length).toBeGreaterThan(20)
    expect(new Set(inbox.map(({ sender }) => sender.id))).toEqual(new Set(['4915', 'DE.1']))
    whatsapp.say(whatsapp.person(), 'after it all')
    await expect.poll(() => inbox.at(-1)?.text, patient).toBe('after it all')
  })
})

const now = () => ({ timestamp: String(Math.floor(Date.now() / 1000)) })
const words = (body: string) => ({ type: 'text', text: { body } })

describe('what is heard', () => {
  test('comes from who has an id that stays, also where the number shows', async () => {
    await called()
    const [ada, bea] = [whatsapp.person({ name: 'Ada' }), whatsapp.person({ name: 'Bea', hidden: true })]
    const { id } = whatsapp.say(ada, 'hello')
    whatsapp.say(bea, '/new over')
    await expect.poll(() => inbox.length, patient).toBe(2)
    expect(inbox).toMatchObject([
      { id, message: id, sender: { id: ada.userId, name: 'Ada' }, chat: { id: ada.userId, kind: 'direct' } },
      { sender: { id: bea.userId, name: 'Bea', kind: 'person' }, mentioned: true, mayCommand: true },
    ])
  })

  test('is a word, a button, a place or a file, and nothing else', async () => {
    await called()
    const ada = whatsapp.person()
    const say = (more: object) => whatsapp.say(ada, '', { text: undefined, ...more })
    const image = { id: whatsapp.file(Buffer.alloc(1234)), mime_type: 'image/jpeg', caption: 'look' }
    say({ type: 'image', image })
    say({ type: 'document', document: { id: '../me', filename: 'a.pdf', mime_type: 'application/pdf' } })
    say({ type: 'interactive', interactive: { type: 'list_reply', list_reply: { id: '1', title: 'Tuesday' } } })
    say({ type: 'button', button: { text: 'Yes', payload: 'x' } })
    say({ type: 'location', location: { latitude: 52.5, longitude: 13.4, name: 'Here' } })
    say({ type: 'reaction', reaction: { message_id: 'wamid.1', emoji: '👍' } })
    say({ type: 'unsupported', errors: [{ code: 131051, title: 'Message type unknown' }] })
    whatsapp.say(ada, 'passed on', { context: { forwarded: true } })
    whatsapp.say(ada, 'old', { timestamp: '1600000000' })
    await delivered()
    expect(inbox.map(({ text, attachments, mayCommand }) => [text, attachments, mayCommand])).toEqual([
      ['look', [{ name: 'image', mimeType: 'image/jpeg', size: 1234, ref: image.id }], true],
      ['', [{ name: 'a.pdf', mimeType: 'application/pdf', size: 0 }], true],
      ['Tuesday', [], true],
      ['Yes', [], true],
      ['Location: Here, 52.5, 13.4', [], true],
      ['passed on', [], false],
    ])
    expect(whatsapp.calls.map(({ path }) => path).filter((path) => path.includes('me'))).not.toContain('/me')
  })

  test('is for the bot in a group where it is named or answered', async () => {
    await called()
    const [ada, group] = [whatsapp.person(), whatsapp.group()]
    whatsapp.say(ada, 'among us', { group })
    whatsapp.say(ada, `@${whatsapp.ids.own} and you?`, { group })
    whatsapp.say(ada, 'so be it', { group, context: { from: whatsapp.ids.own, id: 'wamid.1' } })
    await delivered()
    expect(inbox.map(({ text, mentioned, chat }) => [text, mentioned, chat.kind])).toEqual([
      ['among us', false, 'group'],
      ['and you?', true, 'group'],
      ['so be it', true, 'group'],
    ])
    expect(await post(group)).toMatch(/^wamid/)
  })

  test('is for this number, and what has no form spoils nothing beside it', async () => {
    await called()
    const said = (id: string) => ({ id, from: '49151', ...now(), ...words(id) })
    const take = async (payload: object) => (await service.webhook(signed(JSON.stringify(payload)))).status
    expect(await take(whatsapp.wrap({ messages: [said('other')] }, '999999'))).toBe(200)
    expect(await take(whatsapp.wrap({ messages: [said('one'), { id: 7 }, said('two')], contacts: [1] }))).toBe(200)
    expect(inbox.map((one) => one.text)).toEqual(['one', 'two'])
    expect(malformed).toBe(2)
  })
})

describe('what is said', () => {
  test('answers a message, shows no page, and marks as read what was heard last', async () => {
    await called()
    const ada = whatsapp.person()
    await service.typing({ chat: ada.chat }, { signal: stop.signal })
    whatsapp.say(ada, 'question')
    const { id } = whatsapp.say(ada, 'and another')
    await expect.poll(() => inbox.length, patient).toBe(2)
    await service.typing({ chat: ada.chat }, { signal: stop.signal })
    expect(whatsapp.read).toEqual([{ message: id, chat: ada.chat, typing: true }])
    await service.post({ chat: ada.chat }, text, options({ replyTo: id }))
    await service.post({ chat: ada.chat }, text, options({ plain: true }))
    expect(whatsapp.said(ada.chat)).toMatchObject([{ text: 'a *b*', replyTo: id }, { text: 'a b' }])
    expect(whatsapp.calls.at(-1)?.given).toMatchObject({ text: { preview_url: false } })
    await delivered()
    expect(inbox, "that it was delivered and read is nobody's word").toHaveLength(2)
  })

  test('after 24 hours is one template, whether Meta says so at once or later', async () => {
    await called({ WHATSAPP_TEMPLATE: 'come_back:en_US' })
    const [ada, bea] = [whatsapp.person(), whatsapp.person({ hidden: true })]
    for (const { chat } of [ada, bea]) whatsapp.dayPasses(chat)
    expect(await post(ada.chat)).toMatch(/^wamid/)
    expect(await post(ada.chat)).toEqual(['never', 'WindowClosed', undefined])
    whatsapp.refuseLate(true)
    expect(await post(bea.chat)).toMatch(/^wamid/)
    expect(await post(bea.chat)).toMatch(/^wamid/)
    await delivered()
    for (const { chat } of [ada, bea]) expect(whatsapp.said(chat)).toMatchObject([{ template: 'come_back:en_US' }])
    remembered.set(`template/${ada.chat}`, [new Date(Date.now() - 25 * 60 * 60_000).toISOString()])
    whatsapp.refuseLate(false)
    await post(ada.chat)
    expect(whatsapp.said(ada.chat)).toHaveLength(2)
  })

  test('and was not, for the 24 hours or another reason, shows in the status', async () => {
    await called()
    const ada = whatsapp.person()
    whatsapp.dayPasses(ada.chat)
    expect(await post(ada.chat)).toEqual(['never', 'WindowClosed', undefined])
    expect(healths.at(-1)).toBe('Connected WindowClosed')
    void whatsapp.put({ statuses: [{ id: 'wamid.1', status: 'failed', errors: [{ code: 131042, title: 'Payment' }] }] })
    await delivered()
    expect(healths.at(-1)).toBe('Error PaymentMissing')
    whatsapp.leave(ada.chat)
    expect(await post(ada.chat)).toEqual(['never', 'Undeliverable', undefined])
    expect(await post('49000000')).toEqual(['never', 'Undeliverable', undefined])
    expect(await post(whatsapp.person().chat, { text: 'x'.repeat(4097), plain: '' })).toEqual([
      'never',
      'InvalidParameter',
      undefined,
    ])
  })

  test('with a template that there is not is given up, and the status says so', async () => {
    await called({ WHATSAPP_TEMPLATE: 'no_such:de' })
    const ada = whatsapp.person()
    whatsapp.dayPasses(ada.chat)
    expect(await post(ada.chat)).toEqual(['never', 'WindowClosed', undefined])
    expect(healths).toContain('Connected TemplateRefused')
  })

  test('waits where a person was told much at once, and as long as Meta says', async () => {
    await called()
    const ada = whatsapp.person()
    for (let n = 0; n < 45; n++) expect(await post(ada.chat)).toMatch(/^wamid/)
    expect(await post(ada.chat)).toEqual(['later', 'RateLimited', 6000])
    whatsapp.refuse(80007, { minutes: 7 })
    expect(await post(ada.chat)).toEqual(['later', 'RateLimited', 420_000])
  })

  test('is refused in words that are told apart', () => {
    const meanings = [
      [{ code: 190 }, 'token', 'WrongToken'],
      [{ code: 190, subcode: 463 }, 'token', 'Expired'],
      [{ code: 190, subcode: 460 }, 'token', 'Revoked'],
      [{ code: 10 }, 'token', 'MissingPermission'],
      [{ code: 200, status: 403 }, 'token', 'MissingPermission'],
      [{ code: 100, subcode: 33 }, 'token', 'WrongNumberId'],
      [{ code: 100 }, 'never', 'InvalidParameter'],
      [{ code: 131031 }, 'token', 'AccountRestricted'],
      [{ code: 130429 }, 'later', 'RateLimited'],
      [{ code: 131048 }, 'later', 'RateLimited'],
      [{ code: 131000, status: 500 }, 'later', 'Outage'],
      [{ code: 132015 }, 'never', 'TemplateRefused'],
      [{ code: 999999, status: 401 }, 'token', 'WrongToken'],
      [{ code: 999999, status: 429 }, 'later', 'RateLimited'],
      [{ code: 999999, status: 502 }, 'later', 'Outage'],
      [{ code: 999999 }, 'never', 'Refused'],
    ] as const
    for (const [refused, refusal, reason] of meanings)
      expect(toServiceError({ ...refused, message: 'no' }), JSON.stringify(refused)).toMatchObject({ refusal, reason })
  })

  test('has no word of what was said or of the token in what failed', async () => {
    const proxy = createServer((_, response) => response.end('<html>')).listen(0)
    const { port } = proxy.address() as AddressInfo
    const at = { ...whatsapp.env, WHATSAPP_API_URL: `http://127.0.0.1:${port}` }
    service = new WhatsApp(variables.parse(at))
    const fail = () => service.post({ chat: '49151' }, { text: 'secret', plain: 'secret' }, options()).catch((e) => e)
    expect(await fail()).toMatchObject({ refusal: 'later', reason: 'Outage' })
    await new Promise((resolve) => proxy.close(resolve))
    const failed = await fail()
    expect(String(failed)).toMatch(/WhatsApp does not answer/)
    expect(JSON.stringify(failed) + String(failed.stack)).not.toMatch(/secret|EAAJB/)
  })
})

test('a refused token and a number that is not there end the connection; too many questions do not', async () => {
  whatsapp.refuse(190, { status: 401, error_subcode: 463 })
  await expect(connect()).rejects.toMatchObject({ refusal: 'token', reason: 'Expired' })
  whatsapp.refuse(0)
  await expect(connect({ WHATSAPP_PHONE_NUMBER_ID: '12345' })).rejects.toMatchObject({ reason: 'WrongNumberId' })
  whatsapp.refuse(80007, { minutes: 7 })
  void connect()
  await expect.poll(() => healths, patient).toEqual(['Connected RateLimited'])
})
