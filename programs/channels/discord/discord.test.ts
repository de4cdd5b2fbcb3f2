import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseEnvironment } from '#core/settings'
import type { DiscordChannel, DiscordService } from '../../../test/services/discord.ts'
import { commandToReceived, toReceived } from './receive.ts'
import { connected, memory, started } from './rig.test-support.ts'
import { variables } from './settings.ts'
import { channel, guild, interaction, message, ready } from './shapes.ts'

const options = { key: 'k', plain: false, signal: new AbortController().signal }
const text = { text: '**x**', plain: 'x' }

describe('receiving', () => {
  it('hands over what a person writes, in the words of the platform', async () => {
    const discord = await started()
    const { received, live } = connected(discord)
    await live()
    const alice = discord.user('Alice')
    const chat = discord.direct()
    const { id } = discord.say(alice, chat, 'Hello')
    await expect
      .poll(() => received)
      .toMatchObject([
        {
          ...{ id, message: id, text: 'Hello', mentioned: true, mayCommand: true },
          chat: { id: chat.id, kind: 'direct' },
          sender: { id: alice.id, name: 'Alice', kind: 'person' },
        },
      ])
  })

  it('knows in a server when it is spoken to, tells threads apart, and takes its own name out', async () => {
    const discord = await started()
    const team = discord.channel(discord.guild())
    const { service, received, live } = connected(discord)
    await live()
    const alice = discord.user('Alice')
    const bob = discord.user('Bob')
    // One that the bot was told of, and one that it must ask for.
    const thread = discord.thread(team)
    discord.say(alice, team, 'said to all')
    discord.say(alice, team, `<@${discord.bot.id}> ask <@${bob.id}>`)
    discord.say(alice, thread, `<@!${discord.bot.id}> here`)
    const ours = await service.post({ chat: team.id, thread: thread.id }, text, options)
    const answered = discord.said(thread).find(({ id }) => id === ours) ?? null
    discord.say(alice, thread, 'and then?', { type: 19, referenced_message: answered })
    discord.say(alice, team, '@everyone hey')
    await expect
      .poll(() => received.map(({ text, mentioned, chat, thread }) => [text, mentioned, chat.id, thread]))
      .toEqual([
        ['said to all', false, team.id, undefined],
        ['ask @Bob', true, team.id, undefined],
        ['here', true, team.id, thread.id],
        ['and then?', true, team.id, thread.id],
        ['@everyone hey', false, team.id, undefined],
      ])
  })

  it('passes over webhooks, edits, its own words and the news of a server; forwards command nothing', async () => {
    const discord = await started()
    const team = discord.channel(discord.guild())
    const { service, received, live } = connected(discord)
    await live()
    const alice = discord.user('Alice')
    const hook = discord.user('Hook')
    discord.say(hook, team, '/stop', { webhook_id: hook.id })
    discord.say(discord.user('Other', { bot: true }), team, '/stop')
    discord.say(alice, team, 'has joined', { type: 7 })
    discord.say(alice, team, '/stop', { message_reference: { type: 1 } })
    const said = discord.say(alice, team, '/new')
    discord.gateway.dispatch('MESSAGE_UPDATE', { ...said, content: '/stop' })
    await service.post({ chat: team.id }, text, options)
    discord.say(alice, team, 'last')
    await expect
      .poll(() => received.map(({ text, mayCommand, sender }) => [text, mayCommand, sender.kind]))
      .toEqual([
        ['/stop', true, 'bot'],
        ['/stop', false, 'person'],
        ['/new', true, 'person'],
        ['last', true, 'person'],
      ])
  })

  it('registers slash commands, answers them in time, and hands them over as what the person would have written', async () => {
    const discord = await started()
    const team = discord.channel(discord.guild())
    const { received, live } = connected(discord)
    await live()
    expect(discord.commands()).toEqual(['new', 'status', 'stop', 'help'])
    const alice = discord.user('Alice')
    const status = discord.command(alice, discord.direct(), 'status')
    const anew = discord.command(alice, discord.thread(team), 'new', 'about cats')
    const silent = discord.command(alice, team, 'help', undefined, '1024')
    await expect
      .poll(() => [status, anew, silent].map(({ content }) => content))
      .toEqual(['Heard: /status', 'Heard: /new', 'I may not write messages here.'])
    expect(received).toMatchObject([
      { text: '/status', chat: { kind: 'direct' }, mentioned: true, mayCommand: true },
      { text: '/new about cats', chat: { id: team.id, kind: 'group' }, sender: { id: alice.id } },
    ])
  })
})

describe('a session', () => {
  it('tells Discord that a message was heard only when it is stored', async () => {
    const discord = await started()
    const stored = Promise.withResolvers<void>()
    const { received, live } = connected(discord, { storing: () => stored.promise })
    await live()
    await expect.poll(() => discord.gateway.allHeard()).toBe(true)
    discord.say(discord.user('Alice'), discord.direct(), 'one')
    const beats = async () => new Promise((resolve) => setTimeout(resolve, 700))
    await beats()
    expect(discord.gateway.allHeard()).toBe(false)
    stored.resolve()
    await expect.poll(() => discord.gateway.allHeard()).toBe(true)
    expect(received).toHaveLength(1)
  })

  it('is resumed by the library when Discord asks for it, and by whoever comes after one that was stopped', async () => {
    const discord = await started()
    const remembered = memory()
    const first = connected(discord, { remembered })
    await first.live()
    const alice = discord.user('Alice')
    const chat = discord.direct()
    discord.gateway.askToReconnect()
    await expect.poll(() => discord.gateway.counts.resumed).toBe(1)
    discord.say(alice, chat, 'one')
    await expect.poll(first.texts).toEqual(['one'])
    await first.close()
    discord.say(alice, chat, 'two')
    const second = connected(discord, { remembered })
    await second.live()
    await expect.poll(() => second.texts().at(-1)).toBe('two')
    expect(discord.gateway.counts.identified).toBe(1)
  })

  it.each([['Discord has forgotten it', (discord: DiscordService) => discord.gateway.forget()]])(
    'that cannot be resumed because %s loses nothing: what was missed is asked for',
    async (_, spoil) => {
      const discord = await started()
      const remembered = memory()
      const team = discord.channel(discord.guild())
      const quiet = discord.channel(team.guild_id ?? '')
      const alice = discord.user('Alice')
      const chat = discord.direct()
      discord.say(alice, team, 'long before')
      await new Promise((resolve) => setTimeout(resolve, 2_100))
      const first = connected(discord, { remembered })
      await first.live()
      discord.say(alice, chat, 'zero')
      await expect.poll(first.texts).toEqual(['zero'])
      await first.close()
      for (let n = 0; n < 130; n++) discord.say(alice, chat, `direct ${n}`)
      discord.say(alice, team, 'in the server')
      spoil(discord)
      const second = connected(discord, { remembered })
      await second.live()
      discord.say(alice, chat, 'now')
      await expect.poll(() => second.texts().at(-1)).toBe('now')
      const texts = second.texts()
      expect(texts.filter((one) => one.startsWith('direct')).length).toBe(130)
      expect(texts).toContain('in the server')
      expect(texts).not.toContain('long before')
      expect(second.received.find(({ text }) => text === 'in the server')?.chat).toEqual({ id: team.id, kind: 'group' })
      const asked = discord.calls.filter(
        ({ method, path }) => method === 'GET' && path === `/channels/${quiet.id}/messages`,
      )
      expect(asked).toEqual([])
    },
  )

  it('whose message could not be stored delivers it again', async () => {
    const discord = await started()
    let bus = false
    const storing = async () => {
      if (!bus) throw new Error('bus down')
    }
    const channel = connected(discord, { storing })
    await channel.live()
    discord.say(discord.user('Alice'), discord.direct(), 'one')
    await expect(channel.ended).resolves.toMatchObject({ message: 'bus down' })
    bus = true
    void channel.connect()
    await expect.poll(channel.texts, { timeout: 10_000 }).toEqual(['one'])
    expect(discord.gateway.counts).toMatchObject({ identified: 1, resumed: 1 })
  })

  it('takes from what has the right form no more than the platform may hold', () => {
    const id = fc.bigInt({ min: 1n, max: 99_999_999_999_999_999_999n }).map(String)
    const by = fc.record({ id, username: fc.string({ maxLength: 600 }) })
    const any = fc.record({
      ...{ id, channel_id: id, author: by, type: fc.constantFrom(0, 19), content: fc.string({ unit: 'binary' }) },
      timestamp: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((at) => at.toISOString()),
      mentions: fc.array(by),
      attachments: fc.array(fc.record({ filename: fc.string({ maxLength: 400 }), size: fc.nat() }), { maxLength: 20 }),
    })
    fc.assert(
      fc.property(any, (given) => {
        const { success, data } = message.safeParse(given)
        expect(success).toBe(true)
        const received = data && toReceived(data, '1', undefined)
        if (!received) return
        expect(received.attachments.length).toBeLessThanOrEqual(10)
        expect(received.sender.name.length).toBeLessThanOrEqual(256)
      }),
    )
    fc.assert(
      fc.property(fc.anything(), (given) => {
        for (const shape of [message, channel, guild, ready]) shape.safeParse(given)
        const { data } = interaction.safeParse(given)
        if (data) commandToReceived(data)
      }),
    )
  })
})

describe('what Discord refuses', () => {
  it.each([
    ['a token that it does not know', (d: DiscordService) => d.refuseToken(true), 'token', 'WrongToken'],
    ['the missing intent of message content', (d: DiscordService) => d.intents(0), 'token', 'MissingIntent'],
    ['the last session of the day', (d: DiscordService) => d.starts(0), 'later', 'SessionLimit'],
  ])('says of %s what is wrong', async (_, spoil, refusal, reason) => {
    const discord = await started()
    spoil(discord)
    await expect(connected(discord).ended).resolves.toMatchObject({ refusal, reason })
  })

  it.each([
    [4000, 'Outage', 'resumed'],
    [4007, 'Outage', 'identified'],
    [4008, 'RateLimited', 'resumed'],
    [4009, 'SessionTimedOut', 'identified'],
    [4004, 'WrongToken', 'resumed'],
    [4014, 'MissingIntent', 'resumed'],
  ] as const)('knows why a connection was closed with %i, and how to come back', async (code, reason, how) => {
    const discord = await started()
    const { ended, connect, live } = connected(discord)
    await live()
    const before = discord.gateway.counts[how]
    discord.gateway.close(code)
    await expect(ended).resolves.toMatchObject({ reason })
    void connect()
    await expect.poll(() => discord.gateway.counts[how], { timeout: 10_000 }).toBe(before + 1)
  })

  it('tells apart why something is not said', async () => {
    const discord = await started()
    const { service } = connected(discord)
    const { id } = discord.direct()
    const post = (where: { chat: string; thread?: string }, said = text) =>
      service.post(where, said, options).catch((error: unknown) => error)
    discord.flood(1)
    const limited = await post({ chat: id })
    expect(limited).toMatchObject({ refusal: 'later', reason: 'RateLimited' })
    expect((limited as { afterMs: number }).afterMs).toBeGreaterThanOrEqual(700)
    expect(await post({ chat: '42' })).toMatchObject({ refusal: 'never', reason: 'ChatGone' })
    expect(await post({ chat: '../users/@me' })).toMatchObject({ refusal: 'never', reason: 'ChatGone' })
    const { id: other } = discord.direct()
    expect(await post({ chat: other }, { text: ' ', plain: ' ' })).toMatchObject({
      refusal: 'never',
      reason: 'Refused',
    })
    await expect(service.edit({ chat: other }, '7', text, options)).rejects.toMatchObject({ refusal: 'message' })
    discord.leave(other)
    expect(await post({ chat: other })).toMatchObject({ refusal: 'never', reason: 'Blocked' })
    discord.refuseToken(true)
    expect(await post({ chat: discord.direct().id })).toMatchObject({ refusal: 'token', reason: 'WrongToken' })
    discord.outage(true)
    const failed = await post({ chat: discord.direct().id })
    expect(failed).toMatchObject({ code: 'unavailable' })
    expect(JSON.stringify(failed, Object.getOwnPropertyNames(failed))).not.toMatch(/\*\*x\*\*|stand-in/)
  })

  it('keeps to the rates that Discord names before it is refused', async () => {
    const discord = await started()
    const { service } = connected(discord)
    const { id } = discord.direct()
    const say = (n: number) => service.post({ chat: id }, text, { ...options, key: String(n) }).catch((e: unknown) => e)
    const said = []
    for (let n = 0; n < 7; n++) said.push(await say(n))
    expect(said.filter((one) => typeof one === 'string')).toHaveLength(5)
    expect(said.at(-1)).toMatchObject({ refusal: 'later', reason: 'RateLimited' })
    expect(discord.limited()).toBe(0)
  })

  it.each([
    {},
    { DISCORD_BOT_TOKEN: '' },
    { DISCORD_BOT_TOKEN: 'Bot abc' },
    { DISCORD_BOT_TOKEN: 'abc' },
    { DISCORD_BOT_TOKEN: 'MTIzNDU2Nzg5.Gabcde.abcdefghijklmnopqrs', DISCORD_API_URL: 'ftp://x' },
  ])('and other settings are refused at the start, by the name of the key: %o', (env) => {
    expect(() => parseEnvironment(variables, env)).toThrow(/DISCORD_/)
  })
})

describe('saying', () => {
  it('calls nobody, shows no page, answers what is still there, and is said once', async () => {
    const discord = await started()
    const { service } = connected(discord)
    const chat: DiscordChannel = discord.direct()
    const asked = discord.say(discord.user('Alice'), chat, 'Hi')
    const place = { chat: chat.id }
    const id = await service.post(place, text, { ...options, replyTo: asked.id })
    expect(await service.post(place, text, { ...options, replyTo: asked.id })).toBe(id)
    await service.post(place, text, { ...options, key: 'other', replyTo: '1' })
    await service.edit(place, id, text, { ...options, plain: true })
    await service.typing(place, options)
    expect(discord.said(chat)).toMatchObject([
      { content: 'x', flags: 4, message_reference: { message_id: asked.id } },
      { content: '**x**', flags: 4, type: 0 },
    ])
    for (const { body } of discord.calls.filter(({ path }) => path.includes('/messages')))
      expect(body).toMatchObject({ allowed_mentions: { parse: [] }, flags: 4 })
    expect(discord.typing(chat.id)).toBe(1)
  })
})
