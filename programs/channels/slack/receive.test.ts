import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { connect, connected, inbox, patient, slack, useSlack } from './connected.test-support.ts'
import { readText } from './read-text.ts'

useSlack()

describe('what is heard', () => {
  test('is a mention once, in the thread that it begins, from somebody of a workspace', async () => {
    void connect()
    await connected()
    const channel = slack.channel(0)
    const { ts } = slack.say('U7', channel, `<@${slack.me.user}> see <https://x.org/|this> &amp; ask <@U8|bea>`)
    await expect.poll(() => inbox.length, patient).toBe(2)
    expect(new Set(inbox.map(({ id }) => id)).size, 'the bus knows the second for the first').toBe(1)
    expect(inbox[0]).toMatchObject({
      ...{ thread: ts, mentioned: true, mayCommand: true, text: 'see this (https://x.org/) & ask @bea' },
      chat: { id: channel, kind: 'group' },
      sender: { id: 'T0001/U7', kind: 'person' },
    })
  })

  test('comes from who has a name, where the app may ask for it', async () => {
    slack.people.set('U1', 'Ada').set('U2', ' '.repeat(3)).set('U3', 'Bea')
    void connect()
    await connected()
    const hear = async (user: string) => {
      const before = inbox.length
      slack.say(user, slack.direct(0), 'hello')
      await expect.poll(() => inbox.length, patient).toBe(before + 1)
      return inbox.at(-1)?.sender.name
    }
    expect(await hear('U3'), 'without the scope').toBe('U3')
    slack.scopes.add('users:read')
    expect([await hear('U1'), await hear('U2'), await hear('U9'), await hear('U1')]).toEqual(['Ada', 'U2', 'U9', 'Ada'])
    expect(slack.calls.filter(({ method, given }) => method === 'users.info' && given.user === 'U1')).toHaveLength(1)
  })

  test('is nobody else', async () => {
    void connect()
    await connected()
    const [direct, channel] = [slack.direct(0), slack.channel(0)]
    const root = slack.say(slack.me.user, channel, 'the bot itself')
    slack.say('U1', direct, 'edited', { more: { edited: { user: 'U1', ts: '1.1' } } })
    slack.say('U1', direct, 'changed', { more: { subtype: 'message_changed', message: { text: 'x' } } })
    slack.say('U1', direct, '', { more: { subtype: 'channel_join' } })
    slack.put({ type: 'message', subtype: 'bot_message', bot_id: 'B9', text: 'hook', channel, ts: '1.1' })
    slack.put({ type: 'reaction_added', user: 'U1' })
    slack.say('U1', direct, 'shared', { more: { attachments: [{ is_share: true }] } })
    slack.say('U2', channel, 'a bot', { more: { bot_id: 'B2' } })
    slack.say('U1', channel, 'an answer to the bot', { thread: root.ts })
    slack.say('U1', direct, '!new over')
    await expect.poll(() => slack.pending(), patient).toBe(0)
    const seen = (where: string) =>
      inbox
        .filter(({ chat }) => chat.id === where)
        .map(({ text, sender, mentioned, mayCommand }) => [text, sender.kind, mentioned, mayCommand])
    expect(seen(direct)).toEqual([
      ['shared', 'person', true, false],
      ['!new over', 'person', true, true],
    ])
    expect(seen(channel)).toEqual([
      ['a bot', 'bot', false, true],
      ['an answer to the bot', 'person', true, true],
    ])
  })
})

test('reads any text at all', () => {
  expect(readText('<!here> <#C1|general> &lt;b&gt; <mailto:a@b.c|a@b.c> <!date^1^x|then> <https://x.org>')).toBe(
    '@here #general <b> a@b.c (mailto:a@b.c) then https://x.org',
  )
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => typeof readText(text) === 'string'))
})
