import crypto, { createHmac } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from 'vitest'
import { parseEnvironment } from '#core/settings'
import { Discord } from '../discord/service.ts'
import { variables as discord } from '../discord/settings.ts'
import { variables as slack } from '../slack/settings.ts'
import { isSigned as isSignedBySlack } from '../slack/signature.ts'
import { Telegram } from '../telegram/service.ts'
import { variables as telegram } from '../telegram/settings.ts'
import { variables as whatsapp } from '../whatsapp/settings.ts'
import { challengeOf, isSigned as isSignedByMeta } from '../whatsapp/signature.ts'

const env = {
  telegram: {
    TELEGRAM_BOT_TOKEN: '123456:token_of_a_bot',
    TELEGRAM_WEBHOOK_URL: 'https://bot.example/webhook',
    TELEGRAM_WEBHOOK_SECRET: 'a_secret_of_a_webhook',
  },
  slack: { SLACK_BOT_TOKEN: 'xoxb-1-2-abc', SLACK_SIGNING_SECRET: '0123456789abcdef0123456789abcdef' },
  sockets: { SLACK_BOT_TOKEN: 'xoxb-1-2-abc', SLACK_APP_TOKEN: 'xapp-1-A1-2-abc' },
  discord: { DISCORD_BOT_TOKEN: 'MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs' },
  whatsapp: {
    WHATSAPP_ACCESS_TOKEN: 'EAAJBtoken',
    WHATSAPP_PHONE_NUMBER_ID: '106540352242922',
    WHATSAPP_APP_SECRET: '0123456789abcdef0123456789abcdef',
    WHATSAPP_VERIFY_TOKEN: 'verify-token',
  },
}

describe('a secret that is empty, or nothing but space, is refused at the start', () => {
  test.each([
    ['Telegram', telegram, env.telegram, ['TELEGRAM_BOT_TOKEN', 'TELEGRAM_WEBHOOK_SECRET']],
    ['Slack over HTTP', slack, env.slack, ['SLACK_BOT_TOKEN', 'SLACK_SIGNING_SECRET']],
    ['Slack over Socket Mode', slack, env.sockets, ['SLACK_BOT_TOKEN', 'SLACK_APP_TOKEN']],
    ['Discord', discord, env.discord, ['DISCORD_BOT_TOKEN']],
    ['WhatsApp', whatsapp, env.whatsapp, ['WHATSAPP_ACCESS_TOKEN', 'WHATSAPP_APP_SECRET', 'WHATSAPP_VERIFY_TOKEN']],
  ] as const)('by %s', (_name, variables, good, secrets) => {
    expect(() => parseEnvironment(variables, good)).not.toThrow()
    for (const key of secrets) {
      for (const bad of ['', ' ', '\n', ' '.repeat(40)])
        expect(() => parseEnvironment(variables, { ...good, [key]: bad }), key).toThrow(key)
    }
  })
})

describe('what is given in the place of a secret takes the same steps, however much of it is right', () => {
  let compared: MockInstance<typeof crypto.timingSafeEqual>
  beforeEach(() => {
    compared = vi.spyOn(crypto, 'timingSafeEqual')
    syncBuiltinESMExports()
  })
  afterEach(() => {
    compared.mockRestore()
    syncBuiltinESMExports()
  })

  const body = Buffer.from('{}')
  const nowMs = 1_780_000_000_000
  const at = String(nowMs / 1000)
  const mac = (secret: string, text: string) => createHmac('sha256', secret).update(text).digest('hex')
  const bySlack = `v0=${mac(env.slack.SLACK_SIGNING_SECRET, `v0:${at}:{}`)}`
  const byMeta = `sha256=${mac(env.whatsapp.WHATSAPP_APP_SECRET, '{}')}`
  const url = new URL('http://channel/webhook')

  test.each([
    [
      'the secret of a webhook of Telegram',
      env.telegram.TELEGRAM_WEBHOOK_SECRET,
      async (given: string) => {
        const service = new Telegram(parseEnvironment(telegram, env.telegram))
        const headers = new Headers({ 'x-telegram-bot-api-secret-token': given })
        return (await service.webhook({ method: 'POST', url, headers, body })).status !== 401
      },
    ],
    [
      'the signature of Slack',
      bySlack,
      (given: string) => {
        const headers = new Headers({ 'x-slack-signature': given, 'x-slack-request-timestamp': at })
        return isSignedBySlack(headers, body, env.slack.SLACK_SIGNING_SECRET, nowMs)
      },
    ],
    [
      'the signature of Meta',
      byMeta,
      (given: string) => {
        return isSignedByMeta(new Headers({ 'x-hub-signature-256': given }), body, env.whatsapp.WHATSAPP_APP_SECRET)
      },
    ],
    [
      'the verify token of WhatsApp',
      env.whatsapp.WHATSAPP_VERIFY_TOKEN,
      (given: string) => {
        const asked = { 'hub.mode': 'subscribe', 'hub.verify_token': given, 'hub.challenge': '1' }
        const asking = new URL(`${url}?${new URLSearchParams(asked)}`)
        return challengeOf(asking, env.whatsapp.WHATSAPP_VERIFY_TOKEN) !== undefined
      },
    ],
  ])('%s', async (_name, right, accepts) => {
    const nearly = `${right.slice(0, -1)}${right.endsWith('0') ? '1' : '0'}`
    for (const wrong of ['', 'x', nearly, right.slice(0, -1), `${right}0`, right.toUpperCase(), '0'.repeat(10_000)]) {
      compared.mockClear()
      expect(await accepts(wrong), wrong.slice(0, 99)).toBe(false)
      expect(compared, wrong.slice(0, 99)).toHaveBeenCalledOnce()
    }
    compared.mockClear()
    expect(await accepts(right)).toBe(true)
    expect(compared).toHaveBeenCalledOnce()
  })

  test('and Discord, which is asked, has no address that anybody could call', () => {
    const service = new Discord(parseEnvironment(discord, env.discord))
    expect('webhook' in service).toBe(false)
  })
})
