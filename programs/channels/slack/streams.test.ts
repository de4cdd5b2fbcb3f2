import { beforeEach, describe, expect, test } from 'vitest'
import { shownText } from '../../../test/services/slack.ts'
import {
  connect,
  connected,
  inbox,
  options,
  patient,
  service,
  slack,
  stopped,
  useSlack,
} from './connected.test-support.ts'

useSlack()

describe('what is said as it is written', () => {
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
    expect(slack.said(chat)).toMatchObject([{ text: 'One *bold word* and <https://x.org/|more>.', thread_ts: thread }])
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
    await stopped()
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
