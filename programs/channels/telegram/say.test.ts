import { describe, expect, it } from 'vitest'
import type { TelegramService } from '../../../test/services/telegram.ts'
import { connected, options, started } from './connected.test-support.ts'

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
