import { describe, expect, it } from 'vitest'
import { connected, options, started } from './connected.test-support.ts'

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

  it("reads what a reply quotes, here or from another chat, as nobody's word", async () => {
    const telegram = await started()
    const { received } = connected(telegram)
    const [alice, bob] = [telegram.user('Alice'), telegram.user('Bob')]
    const chat = telegram.direct(alice)
    const group = telegram.group('Team')
    const quote = { text: '/stop@claw_bot', position: 0, entities: [{ type: 'bot_command', offset: 0, length: 14 }] }
    const before = telegram.say(bob, group, '/stop@claw_bot and more').message_id
    telegram.say(alice, chat, 'what is this?', { more: { quote: { ...quote, is_manual: true } } })
    const origin = { type: 'user', date: 1, sender_user: telegram.bot }
    telegram.say(alice, chat, 'and that?', { more: { external_reply: { origin, chat: group, message_id: 7 }, quote } })
    telegram.say(alice, group, '/help', { replyTo: before, more: { quote } })
    telegram.say(alice, chat, '', { more: { quote, external_reply: { origin } } })
    telegram.say(alice, chat, 'last')
    await expect.poll(() => received.at(-1)?.text).toBe('last')
    expect(received.map(({ text, mentioned, mayCommand }) => [text, mentioned, mayCommand])).toEqual([
      ['/stop and more', true, true],
      ['what is this?', true, true],
      ['and that?', true, true],
      ['/help', false, true],
      ['last', true, true],
    ])
  })

  it('names what came along, and passes over what nobody said', async () => {
    const telegram = await started()
    const { received } = connected(telegram)
    const alice = telegram.user('Alice')
    const chat = telegram.direct(alice)
    telegram.say(alice, chat, '', { more: { new_chat_members: [] } })
    telegram.say(alice, chat, '', {
      more: {
        caption: 'look',
        document: { file_id: 'f1', file_name: 'a.pdf', mime_type: 'application/pdf', file_size: 7 },
      },
    })
    await expect
      .poll(() => received)
      .toMatchObject([{ text: 'look', attachments: [{ name: 'a.pdf', mimeType: 'application/pdf', size: 7 }] }])
  })
})
