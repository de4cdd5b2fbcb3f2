import { describe, expect, it } from 'vitest'
import type { DiscordService } from '../../../test/services/discord.ts'
import type { Memory } from '../frame/index.ts'
import { connected, memory, started } from './connected.test-support.ts'
import { snowflakeAt } from './shapes.ts'

const patient = { timeout: 60_000, interval: 25 }
const long = { timeout: 120_000 }
const hourMs = 3_600_000

/** A channel that was there before, and is away now; Discord keeps no session for it. */
async function away(discord: DiscordService, say: () => void, count: number): Promise<Memory> {
  const remembered = memory()
  const channel = connected(discord, { remembered })
  await channel.live()
  say()
  await expect.poll(() => channel.received.length, patient).toBe(count)
  await channel.close()
  discord.gateway.forget()
  return remembered
}

/** The same, long ago. */
async function awaySince(discord: DiscordService, agoMs: number, chats: string[]): Promise<Memory> {
  const remembered = memory()
  const url = discord.url.replace('http', 'ws')
  await remembered.remember('session', ['gone', url, '7', snowflakeAt(Date.now() - agoMs)])
  await remembered.remember('direct', chats)
  return remembered
}

describe('what was missed', long, () => {
  it('in a server that Discord cannot reach is asked for when it can, also by who was killed meanwhile', async () => {
    const discord = await started()
    const [team, others] = [discord.channel(discord.guild()), discord.channel(discord.guild())]
    const alice = discord.user('Alice')
    const remembered = await away(discord, () => discord.say(alice, team, 'before'), 1)
    discord.say(alice, team, 'in the one')
    discord.say(alice, others, 'in the other')
    discord.reachable(team.guild_id ?? '', false)
    const second = connected(discord, { remembered })
    await expect.poll(second.texts, patient).toContain('in the other')
    await expect.poll(() => second.states.at(-1), patient).toBe('Connected Connected')
    discord.say(alice, others, 'meanwhile')
    await expect.poll(second.texts, patient).toContain('meanwhile')
    expect(second.texts()).not.toContain('in the one')
    await second.close()
    const third = connected(discord, { remembered })
    await third.live()
    discord.reachable(team.guild_id ?? '', true)
    await expect.poll(third.texts, patient).toContain('in the one')
  })

  it('in a server that the bot was taken out of is waited for no longer', async () => {
    const discord = await started()
    const team = discord.channel(discord.guild())
    const chat = discord.direct()
    const remembered = await away(discord, () => discord.say(discord.user('Alice'), team, 'before'), 1)
    const [, , , newest] = (await remembered.recall('session')) ?? []
    discord.say(discord.user('Bob'), chat, 'unknown as yet')
    discord.reachable(team.guild_id ?? '', false)
    const second = connected(discord, { remembered })
    await second.live()
    discord.say(discord.user('Bob'), chat, 'now')
    await expect.poll(second.texts, patient).toContain('now')
    expect((await remembered.recall('session'))?.at(3), 'held for the server').toBe(newest)
    discord.expel(team.guild_id ?? '')
    await expect.poll(async () => (await remembered.recall('session'))?.at(3), patient).not.toBe(newest)
  })

  it('in a thread that was archived since is asked for where the bot was spoken to', async () => {
    const discord = await started()
    const team = discord.channel(discord.guild())
    const [spoken, unspoken] = [discord.thread(team), discord.thread(team)]
    const alice = discord.user('Alice')
    const before = () => {
      discord.say(alice, spoken, `<@${discord.bot.id}> hello`)
      discord.say(alice, unspoken, 'hello all')
    }
    const remembered = await away(discord, before, 2)
    for (const thread of [spoken, unspoken]) {
      discord.say(alice, thread, `in ${thread.id}`)
      discord.archive(thread)
    }
    const second = connected(discord, { remembered })
    await second.live()
    await expect.poll(second.texts, patient).toContain(`in ${spoken.id}`)
    expect(second.received.find(({ text }) => text === `in ${spoken.id}`)).toMatchObject({
      chat: { id: team.id, kind: 'group' },
      thread: spoken.id,
    })
    expect(second.texts()).not.toContain(`in ${unspoken.id}`)
  })

  it('is asked for where a session cannot be resumed because its address is no more', async () => {
    const discord = await started()
    const chat = discord.direct()
    const remembered = await away(discord, () => discord.say(discord.user('Alice'), chat, 'before'), 1)
    const [id = '', , sequence = '', newest = ''] = (await remembered.recall('session')) ?? []
    await remembered.remember('session', [id, 'ws://127.0.0.1:1', sequence, newest])
    discord.say(discord.user('Alice'), chat, 'missed')
    const second = connected(discord, { remembered })
    await expect(second.ended).resolves.toMatchObject({ reason: 'Outage' })
    void second.connect()
    await expect.poll(second.texts, patient).toContain('missed')
  })

  describe('is bounded to', () => {
    it('twelve hours', async () => {
      const discord = await started()
      const chat = discord.direct()
      const at = (agoMs: number) => ({ id: snowflakeAt(Date.now() - agoMs) })
      const alice = discord.user('Alice')
      discord.say(alice, chat, 'too old', at(12 * hourMs + 60_000))
      discord.say(alice, chat, 'old', at(12 * hourMs - 60_000))
      const { texts, live } = connected(discord, { remembered: await awaySince(discord, 48 * hourMs, [chat.id]) })
      await live()
      expect(texts()).toEqual(['old'])
    })

    it('the first 5,000 messages of a chat', async () => {
      const discord = await started()
      const chat = discord.direct()
      const alice = discord.user('Alice')
      const begin = Date.now() - hourMs / 2
      for (let n = 0; n <= 5_000; n++) discord.say(alice, chat, `${n}`, { id: snowflakeAt(begin + n) })
      const { texts, live } = connected(discord, { remembered: await awaySince(discord, hourMs, [chat.id]) })
      await expect.poll(() => texts().length, patient).toBe(5_000)
      await live()
      expect(texts()).toEqual(Array.from({ length: 5_000 }, (_, n) => `${n}`))
    })

    it('the 256 direct chats that wrote last', async () => {
      const discord = await started()
      const alice = discord.user('Alice')
      const chats = Array.from({ length: 257 }, () => discord.direct())
      const remembered = await away(discord, () => chats.map((chat) => discord.say(alice, chat, 'before')), 257)
      expect(await remembered.recall('direct')).toEqual(chats.slice(1).map(({ id }) => id))
      for (const n of [0, 1, 256]) for (const chat of chats.slice(n, n + 1)) discord.say(alice, chat, `in ${n}`)
      const second = connected(discord, { remembered })
      await expect.poll(second.texts, patient).toContain('in 256')
      await second.live()
      expect(second.texts().filter((text) => text !== 'before')).toEqual(['in 1', 'in 256'])
    })
  })
})
