import { describe, expect, it } from 'vitest'
import { parseEnvironment } from '#core/settings'
import type { DiscordService } from '../../../test/services/discord.ts'
import { connected, options, started, text } from './connected.test-support.ts'
import { variables } from './settings.ts'

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
