import { describe, expect, test } from 'vitest'
import { shownText } from '../../../test/services/slack.ts'
import {
  connect,
  connected,
  inbox,
  options,
  patient,
  service,
  signal,
  slack,
  stopped,
  useSlack,
} from './connected.test-support.ts'

useSlack()

describe('what is said, and of which Slack has not said whether it has it', () => {
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
    await stopped()
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
      await stopped()
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
        service.post(place, first, { ...what, signal: signal() }).catch(() => {})
        await accepted
        await killed()
        await service.post(place, whole(n), { ...what, signal: signal() })
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
