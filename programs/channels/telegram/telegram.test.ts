import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Received } from '#core/channels'
import { parseEnvironment } from '#core/settings'
import { createLogger } from '#core/telemetry'
import { startTelegram, type TelegramService } from '../../../test/services/telegram.ts'
import type { Host } from '../frame/index.ts'
import { Telegram } from './service.ts'
import { variables } from './settings.ts'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

async function started(): Promise<TelegramService> {
  const telegram = await startTelegram()
  cleanups.push(() => telegram.close())
  return telegram
}

const secret = 'a_secret_of_a_webhook'

/** The channel, connected, with what it hands over; `storing` is what the bus does with a message. */
function connected(
  telegram: TelegramService,
  {
    env = {},
    storing = async () => {},
  }: { env?: Record<string, string>; storing?: (message: Received) => Promise<void> } = {},
) {
  const service = new Telegram(
    parseEnvironment(variables, { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url, ...env }),
  )
  const received: Received[] = []
  const states: string[] = []
  let malformed = 0
  const stop = new AbortController()
  const host: Host = {
    log: createLogger('test'),
    health: ({ state, reason }) => void states.push(`${state} ${reason}`),
    malformed: () => void malformed++,
    async received(message) {
      await storing(message)
      received.push(message)
    },
  }
  const ended = service.connect(host, stop.signal).then(
    () => 'ended',
    (error: unknown) => error,
  )
  cleanups.push(async () => {
    stop.abort()
    await ended
  })
  return { service, received, states, ended, stop, malformed: () => malformed }
}

const options = { key: 'k', plain: false, signal: new AbortController().signal }

describe('receiving', () => {
  it('hands over what a person writes, in the words of the platform', async () => {
    const telegram = await started()
    const { received, states } = connected(telegram)
    const alice = telegram.user('Alice')
    const { message_id: id } = telegram.say(alice, telegram.direct(alice), 'Hello')
    await expect
      .poll(() => received)
      .toMatchObject([
        {
          id: `${alice.id}/${id}`,
          chat: { id: String(alice.id), kind: 'direct' },
          message: String(id),
          sender: { id: String(alice.id), name: 'Alice', kind: 'person' },
          text: 'Hello',
          mentioned: true,
          mayCommand: true,
        },
      ])
    expect(states).toContain('Connected Connected')
  })

  it('tells Telegram that a message was taken only when it is stored', async () => {
    const telegram = await started()
    const stored = Promise.withResolvers<void>()
    const { received } = connected(telegram, { storing: () => stored.promise })
    const alice = telegram.user('Alice')
    telegram.say(alice, telegram.direct(alice), 'one')
    await expect.poll(() => telegram.calls.filter(({ method }) => method === 'getUpdates').length).toBeGreaterThan(0)
    expect(telegram.pending()).toBe(1)
    stored.resolve()
    await expect.poll(() => telegram.pending()).toBe(0)
    expect(received).toHaveLength(1)
  })

  it('is given a message again that it could not store', async () => {
    const telegram = await started()
    const alice = telegram.user('Alice')
    telegram.say(alice, telegram.direct(alice), 'one')
    const first = connected(telegram, { storing: () => Promise.reject(new Error('bus down')) })
    expect(await first.ended).toMatchObject({ message: 'bus down' })
    const second = connected(telegram)
    await expect.poll(() => second.received.map(({ text }) => text)).toEqual(['one'])
  })

  it('knows in a group when it is spoken to, and takes its own name out', async () => {
    const telegram = await started()
    const { service, received } = connected(telegram)
    const alice = telegram.user('Alice')
    const group = telegram.group('Team')
    telegram.say(alice, group, 'said to all')
    telegram.say(alice, group, '@Claw_Bot how are you?')
    telegram.say(alice, group, '/status@claw_bot')
    telegram.say(alice, group, '/status')
    const ours = Number(await service.post({ chat: String(group.id) }, { text: 'x', plain: 'x' }, options))
    telegram.say(alice, group, 'and then?', { replyTo: ours })
    await expect
      .poll(() => received.map(({ text, mentioned }) => [text, mentioned]))
      .toEqual([
        ['how are you?', true],
        ['/status', true],
        ['/status', false],
        ['and then?', true],
      ])
  })

  it('tells topics apart, and answers into them', async () => {
    const telegram = await started()
    const { service, received } = connected(telegram)
    const alice = telegram.user('Alice')
    const group = telegram.group('Team')
    const topic = telegram.topic(group)
    telegram.say(alice, group, '@claw_bot hi', { thread: topic })
    await expect.poll(() => received[0]?.thread).toBe(String(topic))
    await service.typing({ chat: String(group.id), thread: String(topic) }, options)
    await service.post({ chat: String(group.id), thread: String(topic) }, { text: 'hi', plain: 'hi' }, options)
    expect(telegram.said(group)[0]?.message_thread_id).toBe(topic)
  })

  it("lets nobody command with another's words or without a name", async () => {
    const telegram = await started()
    const { received } = connected(telegram)
    const alice = telegram.user('Alice')
    const bot = { ...telegram.user('Other'), is_bot: true }
    const chat = telegram.direct(alice)
    const group = telegram.group('Team')
    const forwarded = { forward_origin: { type: 'hidden_user', date: 1, sender_user_name: 'Bob' } }
    telegram.say(alice, chat, '/stop', { more: forwarded })
    telegram.say(alice, chat, '/stop', { more: { via_bot: bot } })
    telegram.say(alice, group, '/stop@claw_bot', { as: group })
    telegram.say(bot, group, '/stop@claw_bot')
    const said = telegram.say(alice, chat, '/new')
    telegram.rewrite(said, '/stop')
    telegram.say(alice, chat, 'last')
    await expect.poll(() => received.at(-1)?.text).toBe('last')
    expect(received.map(({ text, mayCommand, sender }) => [text, mayCommand, sender.kind])).toEqual([
      ['/stop', false, 'person'],
      ['/stop', false, 'person'],
      ['/stop', true, 'anonymous'],
      ['/stop', true, 'bot'],
      ['/new', true, 'person'],
      ['last', true, 'person'],
    ])
  })

  it('names what came along, and passes over what nobody said', async () => {
    const telegram = await started()
    const { received } = connected(telegram)
    const alice = telegram.user('Alice')
    const chat = telegram.direct(alice)
    telegram.say(alice, chat, '', { more: { new_chat_members: [] } })
    telegram.say(alice, chat, '', {
      more: { caption: 'look', document: { file_name: 'a.pdf', mime_type: 'application/pdf', file_size: 7 } },
    })
    await expect
      .poll(() => received)
      .toMatchObject([{ text: 'look', attachments: [{ name: 'a.pdf', mimeType: 'application/pdf', size: 7 }] }])
  })

  it('lives through updates of any form', async () => {
    const telegram = await started()
    const { received, malformed } = connected(telegram)
    const hostile = fc.sample(
      fc.dictionary(fc.constantFrom('message', 'edited_message', 'poll', '__proto__'), fc.anything()),
      300,
    )
    for (const update of hostile) telegram.put(JSON.parse(JSON.stringify(update) ?? '{}') as Record<string, unknown>)
    for (const message of fc.sample(
      fc.dictionary(fc.constantFrom('chat', 'from', 'text', 'date', 'entities', 'photo'), fc.jsonValue()),
      300,
    ))
      telegram.put({ message })
    const alice = telegram.user('Alice')
    telegram.say(alice, telegram.direct(alice), 'still there?')
    await expect.poll(() => received.at(-1)?.text, { timeout: 20_000 }).toBe('still there?')
    expect(malformed()).toBeGreaterThan(0)
  })
})

describe('what Telegram refuses', () => {
  it.each([
    ['a token that it does not know', (t: TelegramService) => t.revoke(), { refusal: 'token', reason: 'WrongToken' }],
  ])('says of %s what is wrong', async (_, spoil, expected) => {
    const telegram = await started()
    spoil(telegram)
    await expect(connected(telegram).ended).resolves.toMatchObject(expected)
  })

  it('tells a second poller of the same bot apart', async () => {
    const telegram = await started()
    const first = connected(telegram)
    await expect.poll(() => telegram.calls.some(({ method }) => method === 'getUpdates')).toBe(true)
    await fetch(`${telegram.url}/bot${telegram.token}/getUpdates?timeout=0`)
    await expect(first.ended).resolves.toMatchObject({ refusal: 'later', reason: 'Conflict' })
  })

  it('tells apart why something is not said', async () => {
    const telegram = await started()
    const { service } = connected(telegram)
    const alice = telegram.user('Alice')
    const place = { chat: String(telegram.direct(alice).id) }
    const post = (text: string, where: { chat: string; thread?: string } = place) =>
      service.post(where, { text, plain: text }, options).catch((error: unknown) => error)
    const flooded = { chat: String(telegram.group('Team').id) }
    telegram.flood(1, 7)
    expect(await post('x', flooded)).toMatchObject({ refusal: 'later', reason: 'RateLimited', afterMs: 7000 })
    expect(await post('<b>x')).toMatchObject({ refusal: 'markup' })
    expect(await post('x', { chat: '42' })).toMatchObject({ refusal: 'never', reason: 'ChatGone' })
    expect(await post('x', { ...place, thread: '9' })).toMatchObject({ refusal: 'never', reason: 'TopicGone' })
    telegram.block(telegram.direct(alice))
    expect(await post('x')).toMatchObject({ refusal: 'never', reason: 'Blocked' })
    telegram.unblock(telegram.direct(alice))
    await expect(service.edit(place, '1', { text: 'x', plain: 'x' }, options)).rejects.toMatchObject({
      refusal: 'message',
    })
    telegram.outage(true)
    const failed = await post('x')
    expect(failed).toMatchObject({ code: 'unavailable' })
    expect(JSON.stringify(failed, Object.getOwnPropertyNames(failed))).not.toContain(telegram.token)
  })
})

describe('saying', () => {
  it('shows no preview of a page, answers what is still there, and edits without a word where nothing changes', async () => {
    const telegram = await started()
    const { service } = connected(telegram)
    const alice = telegram.user('Alice')
    const chat = telegram.direct(alice)
    const place = { chat: String(chat.id) }
    const asked = telegram.say(alice, chat, 'Hi')
    const text = { text: '<b>x</b>', plain: 'x' }
    const id = await service.post(place, text, { ...options, replyTo: String(asked.message_id) })
    await service.post(place, text, { ...options, replyTo: '1' })
    await service.edit(place, id, text, options)
    await service.edit(place, id, { text: '<i>y</i>', plain: 'y' }, { ...options, plain: true })
    expect(telegram.said(chat)).toMatchObject([
      { text: 'y', entities: [], reply_to_message: { message_id: asked.message_id } },
      { text: 'x', entities: [{ type: 'bold' }], link_preview_options: { is_disabled: true } },
    ])
  })
})

describe('a webhook', () => {
  const env = { TELEGRAM_WEBHOOK_URL: 'https://bot.example/webhook', TELEGRAM_WEBHOOK_SECRET: secret }
  const request = (body: string, given?: string) => ({
    method: 'POST',
    url: new URL('http://channel/webhook'),
    headers: new Headers(given === undefined ? {} : { 'x-telegram-bot-api-secret-token': given }),
    body: Buffer.from(body),
  })

  it('is told to Telegram with its secret, and takes nothing without it', async () => {
    const telegram = await started()
    const { service, received } = connected(telegram, { env })
    await expect.poll(() => telegram.webhookUrl()).toBe(env.TELEGRAM_WEBHOOK_URL)
    const update = JSON.stringify({
      update_id: 1,
      message: {
        message_id: 2,
        date: 3,
        chat: { id: 4, type: 'private' },
        from: { id: 4, first_name: 'A' },
        text: 'hi',
      },
    })
    for (const wrong of [undefined, '', 'x', `${secret}x`, secret.slice(1)])
      expect(await service.webhook(request(update, wrong))).toEqual({ status: 401 })
    expect(received).toEqual([])
    expect(await service.webhook(request('{', secret))).toEqual({ status: 400 })
    expect(await service.webhook(request(update, secret))).toEqual({ status: 200 })
    expect(received.map(({ text }) => text)).toEqual(['hi'])
  })

  it('bears ten thousand bodies of any kind, with the secret and without', async () => {
    const telegram = await started()
    const { service, received, states } = connected(telegram, { env })
    await expect.poll(() => states).toContain('Connected Connected')
    const simple = fc.oneof(
      fc.integer(),
      fc.string({ maxLength: 9 }),
      fc.constant(null),
      fc.constant([{}]),
      fc.boolean(),
    )
    const some = (...names: string[]) => fc.dictionary(fc.constantFrom(...names), simple, { maxKeys: 3 })
    const parts = fc.oneof(simple, some('id', 'type', 'title', 'offset', 'length', 'is_bot', 'file_size', '__proto__'))
    const names = [
      'message_id',
      'chat',
      'from',
      'text',
      'date',
      'entities',
      'photo',
      'document',
      'sender_chat',
      'caption',
    ]
    const message = fc.dictionary(fc.constantFrom(...names), parts, { maxKeys: 6 })
    const body = fc.oneof(
      message.map((said) => JSON.stringify({ update_id: 1, message: { chat: {}, date: 1, text: 'x', ...said } })),
      message.map((said) => JSON.stringify({ update_id: 1, message: said })),
      simple.map((value) => JSON.stringify(value)),
      fc.string({ unit: 'binary', maxLength: 40 }),
    )
    const statuses = new Set<string>()
    for (const hostile of fc.sample(body, 10_000)) {
      const { status: without } = await service.webhook(request(hostile, 'not the secret'))
      const { status } = await service.webhook(request(hostile, secret))
      statuses.add(`${without} ${status}`)
    }
    expect([...statuses].sort()).toEqual(['401 200', '401 400'])
    const real = {
      message_id: 2,
      date: 3,
      chat: { id: 4, type: 'private' },
      from: { id: 4, first_name: 'A' },
      text: 'hi',
    }
    await service.webhook(request(JSON.stringify({ update_id: 1, message: real }), secret))
    expect(received.at(-1)?.text).toBe('hi')
  })

  it('of former days is taken back by a channel that asks', async () => {
    const telegram = await started()
    await fetch(`${telegram.url}/bot${telegram.token}/setWebhook?url=https://old.example/`)
    const { received } = connected(telegram)
    const alice = telegram.user('Alice')
    telegram.say(alice, telegram.direct(alice), 'hi')
    await expect.poll(() => received.length).toBe(1)
  })

  it.each([
    { TELEGRAM_BOT_TOKEN: '' },
    { TELEGRAM_BOT_TOKEN: '1:a/../getMe' },
    { TELEGRAM_WEBHOOK_SECRET: '', TELEGRAM_WEBHOOK_URL: 'https://x.y/' },
    { TELEGRAM_WEBHOOK_URL: 'https://x.y/' },
    { TELEGRAM_WEBHOOK_SECRET: secret },
  ])('and other settings are refused at the start: %o', (env) => {
    expect(() => parseEnvironment(variables, { TELEGRAM_BOT_TOKEN: '1:a', ...env })).toThrow()
  })
})
