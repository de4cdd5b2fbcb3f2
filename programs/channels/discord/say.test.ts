import { describe, expect, it } from 'vitest'
import type { DiscordChannel } from '../../../test/services/discord.ts'
import { connected, options, started, text } from './connected.test-support.ts'

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
