import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { connected, options, started, text } from './connected.test-support.ts'
import { commandToReceived, toReceived } from './receive.ts'
import { channel, guild, interaction, message, ready } from './shapes.ts'

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
