import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Health, type Received, received } from '#core/channels'
import { createLogger } from '#core/telemetry'
import { type SlackService, shownText, startSlack } from '../../../test/services/slack.ts'
import type { Host, Memory, WebhookRequest } from '../frame/index.ts'
import { channelServer } from '../frame/server.ts'
import { readText } from './read-text.ts'
import { Slack } from './service.ts'
import { variables } from './settings.ts'

const patient = { timeout: 20_000, interval: 20 }
const log = createLogger('channel-slack-test')
log.level = 'silent'

let slack: SlackService
let service: Slack
let stop: AbortController
let inbox: Received[]
let healths: string[]
let store: (message: Received) => Promise<void>
let connecting: Promise<void>

beforeEach(async () => {
  slack = await startSlack()
  stop = new AbortController()
  inbox = []
  healths = []
  kept = new Map()
  store = async () => {}
})
afterEach(async () => {
  stop.abort()
  await connecting?.catch(() => {})
  await slack.close()
})

/** As the bus keeps it: beyond any one process. */
let kept: Map<string, readonly string[]>
const memory: Memory = {
  recall: async (name) => kept.get(name),
  remember: async (name, words) => void kept.set(name, words),
}

function connect(env: Record<string, string> = slack.env): Promise<void> {
  service = new Slack(variables.parse(env))
  // What is still under way when a test ends is none of the next one's.
  const heardNow = inbox
  const host: Host = {
    log,
    health: ({ state, reason }: Omit<Health, 'at'>) => healths.push(`${state} ${reason}`),
    malformed: () => {},
    received: async (message) => {
      await store(message)
      heardNow.push(received.parse(message))
    },
  }
  connecting = service.connect(host, stop.signal, memory)
  connecting.catch(() => {})
  return connecting
}
const connected = () => expect.poll(() => slack.connections(), patient).toBe(2)
const heard = () => inbox.map(({ text }) => text)
const options = () => ({ key: 'k', plain: false, signal: stop.signal })

describe('the settings', () => {
  test('name what is empty or absent', () => {
    const read = (more: object) => variables.safeParse({ SLACK_BOT_TOKEN: 'xoxb-1', ...more }).error?.issues
    const path = (more: object) => read(more)?.map(({ path }) => path.join())
    expect(path({})).toEqual(['SLACK_APP_TOKEN'])
    expect(path({ SLACK_APP_TOKEN: '' })).toContain('SLACK_APP_TOKEN')
    expect(path({ SLACK_SIGNING_SECRET: '' })).toContain('SLACK_SIGNING_SECRET')
    expect(path({ SLACK_BOT_TOKEN: 'xoxp-of-a-person', SLACK_APP_TOKEN: 'xapp-1' })).toEqual(['SLACK_BOT_TOKEN'])
    expect(path({ SLACK_APP_TOKEN: 'xapp-1' })).toBeUndefined()
  })
})

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

  test('is acknowledged once it is stored, and comes again otherwise', async () => {
    void connect()
    await connected()
    store = async () => {
      throw new Error('no bus')
    }
    slack.say('U1', slack.direct(0), 'hold on')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(slack.pending()).toBe(1)
    store = async () => {}
    await expect.poll(heard, patient).toEqual(['hold on'])
    await expect.poll(() => slack.pending(), patient).toBe(0)
    expect(slack.badAcks()).toBe(0)
  })

  test('is not lost when Slack renews connections, breaks them, or takes both at once', async () => {
    void connect()
    await connected()
    const said: string[] = []
    for (const end of [() => slack.renew(), () => slack.renew(true), () => slack.drop()]) {
      end()
      for (let n = 0; n < 5; n++) {
        const text = `${said.length}`
        said.push(text)
        slack.say('U1', slack.direct(0), text)
      }
      await expect.poll(() => [...new Set(heard())].sort(), patient).toEqual([...said].sort())
      await connected()
    }
  })

  test('is not lost while Slack lets the app have one connection and no other', async () => {
    slack.spareConnections(1)
    void connect()
    await expect.poll(() => slack.connections(), patient).toBe(1)
    slack.say('U1', slack.direct(0), 'one is enough')
    await expect.poll(heard, patient).toEqual(['one is enough'])
    await connected()
    expect(slack.impatientCalls()).toBe(0)
  })
})

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
    await service.typing({ chat: channel, thread: ts }, { signal: stop.signal })
    await service.typing({ chat: slack.direct(0) }, { signal: stop.signal })
    expect(slack.statuses).toMatchObject([{ channel, thread: ts }])
  })

  describe('as it is written', () => {
    const piece = (markdown: string, growing = true) => {
      const [first] = service.format.pieces(markdown, { growing })
      if (!first) throw new Error('no piece')
      return first
    }
    const shown = (chat: string) => slack.said(chat).map(shownText)
    const asked = async () => {
      const chat = slack.channel(0)
      const root = slack.say('U1', chat, `<@${slack.me.user}> tell me`)
      await expect.poll(() => inbox.some(({ message }) => message === root.ts), patient).toBe(true)
      return { chat, thread: root.ts, replyTo: root.ts }
    }
    const begin = async () => {
      const { replyTo, ...place } = await asked()
      const ts = await service.post(place, piece('One **bold word** and'), { ...options(), replyTo })
      return { ...place, ts, edit: (markdown: string, growing = true) => edit(place, ts, markdown, growing) }
    }
    const edit = (place: { chat: string }, ts: string, markdown: string, growing: boolean) =>
      service.edit(place, ts, piece(markdown, growing), options())
    const methods = () => slack.calls.filter(({ method }) => method.startsWith('chat.')).map(({ method }) => method)

    beforeEach(async () => {
      void connect()
      await connected()
    })

    test("is a stream in a thread, and in the end the message of one who knows Slack's own markup", async () => {
      const { chat, thread, edit } = await begin()
      expect(shown(chat)).toEqual(['One **bold word**'])
      await edit('One **bold word** and [more](https://x.org) <!channel> or @here, word by word')
      expect(shown(chat)).toEqual(['One **bold word** and more <!channel> or @here, word by'])
      expect(slack.appends(chat)).toBe(1)
      expect(slack.unfurled).toEqual([])
      await edit('One **bold word** and [more](https://x.org).', false)
      expect(slack.said(chat)).toMatchObject([
        { text: 'One *bold word* and <https://x.org/|more>.', thread_ts: thread },
      ])
      expect(shown(chat)).toEqual(['One *bold word* and more.'])
      expect(methods()).toEqual(['chat.startStream', 'chat.appendStream', 'chat.stopStream', 'chat.update'])
    })

    test('has what another step writes below, and is edited where a text is read in another way', async () => {
      const { chat, edit } = await begin()
      await edit('Then the second step says')
      expect(shown(chat)).toEqual(['One **bold word**\n\nThen the second step'])
      await edit('Then the second *three step* says more')
      expect(slack.appends(chat)).toBe(1)
      expect(shown(chat)).toEqual(['Then the second _three step_ says more'])
      await edit('Then the second *three step* says more and more')
      expect(shown(chat)).toEqual(['Then the second _three step_ says more and more'])
    })

    test('goes on where Slack ended the stream, and waits where somebody did', async () => {
      const { chat, edit } = await begin()
      slack.endStreams()
      await edit('One **bold word** and then some')
      expect(shown(chat)).toEqual(['One *bold word* and then some'])
      const again = await begin()
      slack.endStreams({ pressed: true })
      await again.edit('One **bold word** and then some')
      await again.edit('One **bold word** and then some more')
      expect(shown(chat).at(-1)).toBe('One **bold word**')
      await again.edit('Done.', false)
      expect(shown(chat).at(-1)).toBe('Done.')
    })

    test('is whole also where the channel was started again in the middle', async () => {
      const { chat, ts } = await begin()
      stop.abort()
      await connecting
      stop = new AbortController()
      void connect()
      await edit({ chat }, ts, 'One **bold word** and then', true)
      expect(shown(chat)).toEqual(['One *bold word* and then'])
      await edit({ chat }, ts, 'Done.', false)
      expect(shown(chat)).toEqual(['Done.'])
    })

    test('is a message that is edited where Slack does not stream, or not so often', async () => {
      const { replyTo, ...place } = await asked()
      const say = async (more = {}) => service.post(place, piece('Some words'), { ...options(), replyTo, ...more })
      slack.refuseStreams('channel_type_not_supported')
      const ts = await say()
      await edit(place, ts, 'Some words and more', true)
      expect(shown(place.chat)).toEqual(['Some words and more'])
      await say()
      expect(methods().filter((method) => method === 'chat.startStream')).toHaveLength(1)
      slack.refuseStreams('')
      await service.post({ chat: slack.direct(1) }, piece('Some words'), options())
      await service.post({ ...place, chat: slack.channel(0) }, piece('Some words'), { ...options(), replyTo: '1.1' })
      expect(methods().filter((method) => method === 'chat.startStream')).toHaveLength(1)
    })

    test('is posted where streams are asked for too often, and nobody asks before Slack wants to be asked', async () => {
      const { replyTo, ...place } = await asked()
      slack.flood(1)
      for (let n = 0; n < 2; n++) await service.post(place, piece('Some words'), { ...options(), replyTo })
      expect(methods()).toEqual(['chat.startStream', 'chat.postMessage', 'chat.postMessage'])
      slack.flood(1)
      expect(slack.impatientCalls()).toBe(0)
    })

    test('says that it does not know whether a stream has begun', async () => {
      const { replyTo, ...place } = await asked()
      slack.outage(true)
      const failed = service.post(place, piece('Some words'), { ...options(), replyTo })
      await expect(failed).rejects.toThrow(/Slack does not answer/)
      expect(methods()).not.toContain('chat.postMessage')
    })
  })

  describe('with files', () => {
    const bytes = Buffer.from('the file itself')
    const report = { name: 'report.pdf', type: 'application/pdf', bytes }
    const refused = (work: Promise<unknown>) => work.catch(({ refusal, reason }) => [refusal, reason])
    const open = async (ref: string) => String(await buffer(await service.download(ref, { signal: stop.signal })))
    const share = (place: { chat: string; thread?: string }, key = 'k') =>
      service.sendFile(place, report, { key, signal: stop.signal })

    beforeEach(async () => {
      void connect()
      await connected()
    })

    test('are opened with the token of the bot, at Slack alone', async () => {
      const kept = slack.file('a b.txt', bytes)
      const outside = slack.file('drive.txt', bytes, { elsewhere: 'https://drive.example.org/x' })
      const files = [kept, outside, { name: 'hidden', mode: 'hidden_by_limit' }, { id: '../x', name: 'odd' }]
      slack.say('U1', slack.direct(0), '', { more: { subtype: 'file_share', files } })
      await expect.poll(() => inbox.length, patient).toBe(1)
      const refs = inbox[0]?.attachments.map(({ ref }) => ref)
      expect(refs).toEqual([kept.id, outside.id, undefined, undefined])
      expect(await open(kept.id)).toBe('the file itself')
      expect(await refused(open(outside.id))).toEqual(['never', 'FileElsewhere'])
      expect(await refused(open('F404'))).toEqual(['never', 'FileGone'])
      slack.scopes.delete('files:read')
      expect(await refused(open(kept.id)), 'and text is said all the same').toEqual(['never', 'MissingScope'])
    })

    test('are uploaded, and shared where the answer stands', async () => {
      const channel = slack.channel(0)
      const root = slack.say('U1', channel, 'begin')
      const id = await share({ chat: channel, thread: root.ts })
      expect(slack.said(channel)).toMatchObject([{ thread_ts: root.ts, files: [{ id, title: 'report.pdf' }] }])
      expect(slack.bytesOf(id)).toEqual(bytes)
      slack.scopes.delete('files:write')
      expect(await refused(share({ chat: slack.direct(0) }))).toEqual(['never', 'MissingScope'])
    })

    test('are shared once, also where Slack did not say that they were, and not uploaded again to wait', async () => {
      const chat = slack.direct(0)
      slack.flood(1)
      expect(await refused(share({ chat }))).toEqual(['later', 'RateLimited'])
      const accepted = slack.swallowAnswer()
      const impatient = new AbortController()
      const first = service.sendFile({ chat }, report, { key: 'k', signal: impatient.signal })
      await accepted
      impatient.abort()
      await expect(first).rejects.toThrow()
      const id = await share({ chat })
      expect(slack.said(chat)).toMatchObject([{ files: [{ id }] }])
      expect(slack.calls.filter(({ method }) => method === 'files.getUploadURLExternal')).toHaveLength(1)
      await share({ chat }, 'another')
      expect(slack.said(chat)).toHaveLength(2)
    })
  })

  describe('of which Slack has not said whether it has it', () => {
    const post = (text: string, { key = 'k', chat = slack.direct(0), thread = undefined as string | undefined } = {}) =>
      service.post({ chat, thread }, { text, plain: text }, { ...options(), key })
    /** Slack takes it, and nobody hears of that. */
    async function unheard(text: string, where = {}): Promise<void> {
      const accepted = slack.swallowAnswer()
      const impatient = new AbortController()
      const place = { chat: slack.direct(0), ...where }
      const first = service.post(place, { text, plain: text }, { ...options(), signal: impatient.signal })
      await accepted
      impatient.abort()
      await expect(first).rejects.toThrow()
    }
    const texts = (chat = slack.direct(0)) => slack.said(chat).map(({ text }) => text)

    test('is found by its key, has the newer words, and stands once', async () => {
      void connect()
      await connected()
      await post('before', { key: 'another' })
      await unheard('as it was')
      const ts = await post('as it is')
      expect(texts()).toEqual(['before', 'as it is'])
      expect(slack.said(slack.direct(0)).at(-1)?.ts).toBe(ts)
      // Once that is known the same key is no reason to look.
      await post('once more')
      expect(texts()).toEqual(['before', 'as it is', 'once more'])
      expect(slack.calls.filter(({ method }) => method === 'conversations.history')).toHaveLength(1)
    })

    test('is found by who comes after a kill, in a thread too, also behind much else', async () => {
      void connect()
      await connected()
      const root = slack.say('U1', slack.direct(0), 'root')
      await unheard('in a thread', { thread: root.ts })
      for (let n = 0; n < 250; n++) slack.say('U1', slack.direct(0), 'more', { thread: root.ts })
      stop.abort()
      await connecting.catch(() => {})
      stop = new AbortController()
      void connect()
      await connected()
      const ts = await post('in a thread', { thread: root.ts })
      expect(slack.said(slack.direct(0)).map((message) => message.ts)).toEqual([ts])
    })

    describe.each([
      ['a public channel', 'channels:history', (n: number) => slack.channel(n)],
      ['a private channel', 'groups:history', (n: number) => slack.privateChannel(n)],
    ] as const)('in %s, when the channel is killed there', (_, scope, chatOf) => {
      const killed = async () => {
        stop.abort()
        await connecting.catch(() => {})
        stop = new AbortController()
        void connect()
      }
      const whole = (n: number) => ({ text: `answer ${n}`, plain: `answer ${n}` })
      /** Said by one that is killed, and by who comes after it: in the channel, in a thread, and as a stream. */
      const sayAll = async () => {
        void connect()
        const shown: string[][] = []
        for (const [n, { inThread, growing }] of [
          { inThread: false, growing: false },
          { inThread: true, growing: false },
          { inThread: true, growing: true },
        ].entries()) {
          const chat = chatOf(n)
          const root = slack.say('U1', chat, `<@${slack.me.user}> tell me`)
          await expect.poll(() => inbox.some(({ message }) => message === root.ts), patient).toBe(true)
          const place = { chat, thread: inThread ? root.ts : undefined }
          const what = { key: `key ${n}`, plain: false, replyTo: root.ts }
          const accepted = slack.swallowAnswer()
          const first = { ...whole(n), ...(growing && { growing: 'answer' }) }
          service.post(place, first, { ...what, signal: stop.signal }).catch(() => {})
          await accepted
          await killed()
          await service.post(place, whole(n), { ...what, signal: stop.signal })
          shown.push(slack.said(chat).map(shownText))
        }
        return shown
      }

      test('stands once', async () => {
        expect(await sayAll()).toEqual([['answer 0'], ['answer 1'], ['answer 2']])
        expect(slack.calls.filter(({ method }) => method === 'chat.startStream')).toHaveLength(1)
      })

      test(`is said again without ${scope}`, async () => {
        slack.scopes.delete(scope)
        expect(await sayAll()).toEqual([
          ['answer 0', 'answer 0'],
          ['answer 1', 'answer 1'],
          ['answer', 'answer 2'],
        ])
      })
    })

    test('is said again where the app may not read, and where it does not stand', async () => {
      void connect()
      await connected()
      slack.scopes.delete('im:history')
      await unheard('twice')
      await post('twice')
      expect(texts()).toEqual(['twice', 'twice'])
      slack.scopes.add('im:history')
      slack.outage(true)
      await expect(post('late', { key: 'late' })).rejects.toThrow()
      slack.outage(false)
      await post('late', { key: 'late' })
      expect(texts()).toEqual(['twice', 'twice', 'late'])
    })
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
    service = new Slack(variables.parse({ ...slack.env, SLACK_API_URL: `http://127.0.0.1:${port}/` }))
    const failed = await service.post({ chat: 'D1' }, { text: 'secret', plain: 'secret' }, options()).catch((e) => e)
    expect(String(failed)).toMatch(/Slack does not answer/)
    expect(JSON.stringify(failed) + String(failed.stack)).not.toMatch(/secret|xoxb/)
  })
})

const tokenErrors = {
  invalid_auth: 'WrongToken',
  token_revoked: 'Revoked',
  account_inactive: 'AccountInactive',
}

test('Slack says what it refuses a connection for', async () => {
  slack.refuse('account_inactive')
  await expect(connect()).rejects.toMatchObject({ refusal: 'token', reason: 'AccountInactive' })
  slack.refuse('')
  const connection = connect()
  await connected()
  slack.renew(true, 'link_disabled')
  await expect(connection).rejects.toMatchObject({ refusal: 'token', reason: 'SocketModeOff' })
})

test('reads any text at all', () => {
  expect(readText('<!here> <#C1|general> &lt;b&gt; <mailto:a@b.c|a@b.c> <!date^1^x|then> <https://x.org>')).toBe(
    '@here #general <b> a@b.c (mailto:a@b.c) then https://x.org',
  )
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => typeof readText(text) === 'string'))
})
