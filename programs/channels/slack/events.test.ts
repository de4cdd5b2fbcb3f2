import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { WebhookRequest } from '../frame/index.ts'
import { channelServer } from '../frame/server.ts'
import { connect, healths, heard, inbox, log, patient, service, slack, useSlack } from './connected.test-support.ts'

useSlack()

describe('over HTTP', () => {
  const secret = () => slack.signingSecret
  const env = () => {
    const { SLACK_BOT_TOKEN, SLACK_API_URL } = slack.env
    return { SLACK_BOT_TOKEN, SLACK_API_URL, SLACK_SIGNING_SECRET: secret() }
  }
  const request = (body: string, headers: Record<string, string>): WebhookRequest => ({
    ...{ method: 'POST', url: new URL('http://channel/webhook'), headers: new Headers(headers) },
    body: Buffer.from(body),
  })
  const ready = () => expect.poll(() => healths.at(-1), patient).toBe('Connected Connected')

  test('takes what Slack signs, and answers its challenge', async () => {
    void connect(env())
    await ready()
    const server = channelServer(service, () => true, log).listen(0, '127.0.0.1')
    await expect.poll(() => server.listening, patient).toBe(true)
    const { port } = server.address() as AddressInfo
    expect(await slack.callAt(`http://127.0.0.1:${port}/webhook`)).toBe(true)
    slack.say('U1', slack.direct(0), 'by post')
    await expect.poll(heard, patient).toEqual(['by post'])
    await expect.poll(() => slack.pending(), patient).toBe(0)
    server.closeAllConnections()
    server.close()
  })

  test('takes nothing that is not signed, or was signed more than five minutes ago', async () => {
    void connect(env())
    await ready()
    const event = { type: 'message', channel: 'D1', channel_type: 'im', user: 'U1', text: 'x', ts: '1.1' }
    const body = JSON.stringify(slack.outer(event, 'Ev1'))
    const now = Math.floor(Date.now() / 1000)
    const good = slack.sign(body)
    const status = async (headers: Record<string, string>, text = body) =>
      (await service.webhook(request(text, headers))).status
    expect(await status({})).toBe(401)
    expect(await status({ ...good, 'x-slack-signature': `${good['x-slack-signature']}0` })).toBe(401)
    expect(await status({ ...good, 'x-slack-request-timestamp': `${now - 1}0` })).toBe(401)
    expect(await status(good, `${body} `)).toBe(401)
    expect(await status(slack.sign(body, now - 301))).toBe(401)
    expect(await status(slack.sign(body, now + 301))).toBe(401)
    expect(inbox).toEqual([])
    expect(await status(slack.sign(body, now - 290))).toBe(200)
    expect(await status(slack.sign('{'), '{')).toBe(400)
    expect(heard()).toEqual(['x'])
  })
})
