import { describe, expect, it } from 'vitest'
import { parseEnvironment } from '#core/settings'
import { connected, started } from './connected.test-support.ts'
import { variables } from './settings.ts'

const secret = 'a_secret_of_a_webhook'

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
        from: { id: 4, is_bot: false, first_name: 'A' },
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
