import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { connect, connected, options, service, signal, slack, useSlack } from './connected.test-support.ts'
import { Slack } from './service.ts'
import { variables } from './settings.ts'

useSlack()

const tokenErrors = {
  invalid_auth: 'WrongToken',
  token_revoked: 'Revoked',
  account_inactive: 'AccountInactive',
}

describe('what is said', () => {
  test('stands in its thread, unfurls nothing and calls nobody', async () => {
    void connect()
    await connected()
    const channel = slack.channel(0)
    const { ts } = slack.say('U1', channel, 'begin')
    const [piece] = service.format.pieces('see https://x.org <!channel> and @here **now**')
    if (!piece) throw new Error('no piece')
    await service.post({ chat: channel, thread: ts }, piece, options())
    const [message] = slack.said(channel)
    expect(message).toMatchObject({ thread_ts: ts })
    expect(message?.text).not.toMatch(/<!|<@/)
    expect(slack.unfurled).toEqual([])
    await service.typing({ chat: channel, thread: ts }, { signal: signal() })
    await service.typing({ chat: slack.direct(0) }, { signal: signal() })
    expect(slack.statuses).toMatchObject([{ channel, thread: ts }])
  })

  test('is refused in words that are told apart', async () => {
    void connect()
    await connected()
    const chat = slack.direct(0)
    const text = { text: 'a', plain: 'a' }
    const post = (where = chat, words = text) =>
      service
        .post({ chat: where }, words, options())
        .catch(({ refusal, reason, afterMs }) => [refusal, reason, afterMs])
    const edit = (ts: string, words = text) =>
      service.edit({ chat }, ts, words, options()).catch(({ refusal, reason }) => [refusal, reason])
    const ts = await post()
    expect(await edit('1.1')).toEqual(['message', 'MessageGone'])
    expect(await edit(String(ts), { text: 'x'.repeat(4001), plain: 'x' })).toEqual(['never', 'TooLong'])
    expect(await post('D9999')).toEqual(['never', 'ChatGone', undefined])
    slack.kick(slack.channel(1))
    expect(await post(slack.channel(1))).toEqual(['never', 'NotInChannel', undefined])
    slack.archive(slack.channel(2))
    expect(await post(slack.channel(2))).toEqual(['never', 'ChatArchived', undefined])
    slack.flood(1)
    expect(await post()).toEqual(['later', 'RateLimited', 1000])
    slack.scopes.delete('chat:write')
    expect(await post()).toEqual(['token', 'MissingScope', undefined])
    for (const [error, reason] of Object.entries(tokenErrors)) {
      slack.refuse(error)
      expect(await post()).toEqual(['token', reason, undefined])
    }
    slack.refuse('fatal_error')
    expect(await post()).toEqual(['later', 'Outage', undefined])
  })

  test('has no word of what was said or of the token in what failed', async () => {
    const closed = createServer().listen(0)
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const unanswered = new Slack(variables.parse({ ...slack.env, SLACK_API_URL: `http://127.0.0.1:${port}/` }))
    const failed = await unanswered.post({ chat: 'D1' }, { text: 'secret', plain: 'secret' }, options()).catch((e) => e)
    expect(String(failed)).toMatch(/Slack does not answer/)
    expect(JSON.stringify(failed) + String(failed.stack)).not.toMatch(/secret|xoxb/)
  })
})
