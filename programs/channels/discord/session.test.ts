import { describe, expect, it } from 'vitest'
import type { DiscordService } from '../../../test/services/discord.ts'
import { connected, memory, started } from './connected.test-support.ts'

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
})
