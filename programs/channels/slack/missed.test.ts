import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Health, type Received, received } from '#core/channels'
import { createLogger } from '#core/telemetry'
import { type SlackService, startSlack } from '../../../test/services/slack.ts'
import type { Host, Memory } from '../frame/index.ts'
import { Slack } from './service.ts'
import { variables } from './settings.ts'

const patient = { timeout: 60_000, interval: 20 }
const long = { timeout: 120_000 }
const hourMs = 3_600_000

let slack: SlackService
/** As the bus keeps it: beyond any one process. */
let kept: Map<string, readonly string[]>
let channels: Listening[]

beforeEach(async () => {
  // Slack gives up at once.
  slack = await startSlack({ retryMs: 50, tries: 1 })
  kept = new Map()
  channels = []
})
afterEach(async () => {
  for (const one of channels) await one.close()
  await slack.close()
})

interface Listening {
  inbox: Received[]
  healths: Health[]
  texts: () => string[]
  /** Of a chat and thread, in the order in which it was heard. */
  of: (chat: string, thread?: string) => string[]
  close: () => Promise<void>
}

/** The channel as a process would have it; `store` is what the bus does with a message. */
function listening(env: Record<string, string> = slack.env, store = async (_: Received) => {}): Listening {
  const service = new Slack(variables.parse(env))
  const inbox: Received[] = []
  const healths: Health[] = []
  const ids = new Set<string>()
  const stop = new AbortController()
  const log = createLogger('channel-slack-test')
  log.level = 'silent'
  const memory: Memory = {
    recall: async (name) => kept.get(name),
    remember: async (name, words) => void kept.set(name, [...words]),
  }
  const host: Host = {
    log,
    health: (word) => void healths.push({ ...word, at: new Date().toISOString() }),
    malformed: () => {},
    async received(message) {
      await store(message)
      // As the bus does.
      if (ids.has(message.id) || before.has(message.id)) return
      ids.add(message.id)
      inbox.push(received.parse(message))
    },
  }
  const before = new Set(channels.flatMap((one) => one.inbox.map(({ id }) => id)))
  const connection = (async () => {
    while (!stop.signal.aborted) {
      await service.connect(host, stop.signal, memory).catch(() => {})
      await setTimeout(100)
    }
  })()
  const channel: Listening = {
    ...{ inbox, healths },
    texts: () => inbox.map(({ text }) => text),
    of: (chat, thread) => inbox.filter((one) => one.chat.id === chat && one.thread === thread).map(({ text }) => text),
    async close() {
      stop.abort()
      await connection
    },
  }
  channels.push(channel)
  return channel
}

const connected = () => expect.poll(() => slack.connections(), patient).toBe(2)
const name = () => `<@${slack.me.user}>`

describe('what is said while the channel is away for longer than Slack tries', long, () => {
  test('is heard once, in the order of each conversation, and nothing beside it', async () => {
    const [direct, open, closed] = [slack.direct(0), slack.channel(0), slack.privateChannel(0)]
    const first = listening()
    await connected()
    slack.say('U1', direct, 'hello')
    const inDirect = slack.say('U1', direct, 'a thread of its own')
    slack.say('U1', direct, 'in it', { thread: inDirect.ts })
    const root = slack.say('U1', open, `${name()} begin`)
    slack.say('U2', closed, `${name()} begin`)
    await expect.poll(() => first.inbox.length, patient).toBe(5)
    await first.close()

    for (const n of [1, 2, 3]) slack.say('U1', direct, `direct ${n}`)
    slack.say('U1', direct, 'in it 1', { thread: inDirect.ts })
    slack.say('U3', open, `${name()} more`, { thread: root.ts })
    const fresh = slack.say('U3', open, `${name()} anew`)
    slack.say('U3', open, `${name()} anew 1`, { thread: fresh.ts })
    const others = slack.say('U3', open, 'what is this?')
    slack.say('U4', open, `${name()} do you know?`, { thread: others.ts })
    slack.say('U2', closed, `${name()} privately`)
    slack.say('U1', direct, 'edited', { more: { edited: { user: 'U1', ts: '1.1' } } })
    slack.say('U1', direct, 'of a bot', { more: { bot_id: 'B2' } })
    slack.say('U1', direct, 'has joined', { more: { subtype: 'channel_join' } })
    slack.say(slack.me.user, direct, 'the bot itself')
    await expect.poll(() => slack.pending(), patient).toBe(0)
    expect(slack.givenUp()).toBeGreaterThanOrEqual(10)

    const second = listening()
    await connected()
    slack.say('U1', direct, 'back again')
    await expect.poll(() => second.of(direct).at(-1), patient).toBe('back again')
    await expect.poll(() => second.of(open, others.ts), patient).toEqual(['what is this?', 'do you know?'])
    await expect
      .poll(() => second.of(closed, second.inbox.find(({ chat }) => chat.id === closed)?.thread), patient)
      .toEqual(['privately'])
    expect(second.of(direct)).toEqual(['direct 1', 'direct 2', 'direct 3', 'back again'])
    expect(second.of(direct, inDirect.ts)).toEqual(['in it 1'])
    expect(second.of(open, root.ts)).toEqual(['more'])
    expect(second.of(open, fresh.ts)).toEqual(['anew', 'anew 1'])
    expect(second.inbox).toHaveLength(4 + 1 + 1 + 2 + 2 + 1)
  })

  test('comes before what is said meanwhile, also where Slack wants a pause', async () => {
    const chat = slack.direct(0)
    const first = listening()
    await connected()
    slack.say('U1', chat, 'before')
    await expect.poll(first.texts, patient).toEqual(['before'])
    await first.close()
    for (let n = 0; n < 5; n++) slack.say('U1', chat, `missed ${n}`)
    await expect.poll(() => slack.pending(), patient).toBe(0)
    slack.flood(2)
    const second = listening()
    await connected()
    slack.say('U1', chat, 'now')
    slack.say('U9', slack.direct(9), 'from somebody new, who waits for nobody')
    await expect.poll(() => second.texts().at(-1), patient).toBe('now')
    expect(second.of(chat)).toEqual([0, 1, 2, 3, 4].map((n) => `missed ${n}`).concat('now'))
    expect(second.texts()[0]).toMatch(/somebody new/)
    expect(slack.impatientCalls()).toBe(0)
  })

  test('is asked for again where the channel is stopped in the midst of it', async () => {
    const chat = slack.direct(0)
    const first = listening()
    await connected()
    slack.say('U1', chat, 'before')
    await expect.poll(first.texts, patient).toEqual(['before'])
    await first.close()
    for (let n = 0; n < 5; n++) slack.say('U1', chat, `${n}`)
    await expect.poll(() => slack.pending(), patient).toBe(0)
    const stuck = Promise.withResolvers<void>()
    const second = listening(slack.env, async ({ text }) => {
      if (text !== '2') return
      stuck.resolve()
      throw new Error('the channel is being killed')
    })
    await stuck.promise
    await second.close()
    expect(second.texts()).toEqual(['0', '1'])
    const third = listening()
    await expect.poll(third.texts, patient).toEqual(['2', '3', '4'])
  })

  test('is asked for by who was there all the while, and had no connection', async () => {
    const chat = slack.direct(0)
    const channel = listening()
    await connected()
    slack.say('U1', chat, 'before')
    await expect.poll(channel.texts, patient).toEqual(['before'])
    slack.outage(true)
    slack.say('U1', chat, 'into the dark')
    await expect.poll(() => slack.pending(), patient).toBe(0)
    slack.outage(false)
    await expect
      .poll(() => slack.connections(), patient)
      .toBeGreaterThan(0)
      .catch(() => {})
    const again = slack.connections() > 0 ? channel : listening()
    await expect.poll(() => again.texts().at(-1), patient).toBe('into the dark')
  })

  test('is asked for by a channel that Slack calls', async () => {
    const { SLACK_BOT_TOKEN, SLACK_API_URL } = slack.env
    const env = { SLACK_BOT_TOKEN, SLACK_API_URL, SLACK_SIGNING_SECRET: slack.signingSecret }
    const chat = slack.direct(0)
    const first = listening()
    await connected()
    slack.say('U1', chat, 'before')
    await expect.poll(first.texts, patient).toEqual(['before'])
    await first.close()
    slack.say('U1', chat, 'missed')
    await expect.poll(() => slack.pending(), patient).toBe(0)
    const second = listening(env)
    await expect.poll(second.texts, patient).toEqual(['missed'])
  })

  test('is no more than Slack would have delivered to this app', async () => {
    slack.subscribed.delete('message.channels')
    const open = slack.channel(0)
    const first = listening()
    await connected()
    slack.say('U1', open, `${name()} hello`)
    await expect.poll(first.texts, patient).toEqual(['hello'])
    await first.close()
    slack.say('U1', open, 'between ourselves')
    slack.say('U1', open, `${name()} and you?`)
    await expect.poll(() => slack.pending(), patient).toBe(0)
    const second = listening()
    await expect.poll(second.texts, patient).toEqual(['and you?'])
    expect(JSON.stringify(second.inbox)).not.toContain('between')
  })

  test('is lost where the app lacks the scope, which the status says, and heard elsewhere', async () => {
    const [direct, open] = [slack.direct(0), slack.channel(0)]
    const first = listening()
    await connected()
    slack.say('U1', direct, 'before')
    slack.say('U1', open, `${name()} before`)
    await expect.poll(() => first.inbox.length, patient).toBe(2)
    await first.close()
    slack.say('U1', direct, 'heard')
    slack.say('U1', open, `${name()} lost`)
    await expect.poll(() => slack.pending(), patient).toBe(0)
    slack.scopes.delete('channels:history')
    const second = listening()
    await expect.poll(second.texts, patient).toEqual(['heard'])
    slack.say('U1', open, `${name()} now`)
    await expect.poll(second.texts, patient).toEqual(['heard', 'now'])
    // Told again whenever there is a connection; every half minute without.
    slack.renew()
    const told = () => second.healths.filter(({ message }) => message.includes('needs channels:history'))
    await expect.poll(() => told().length, patient).toBeGreaterThan(0)
    expect(told()[0]).toMatchObject({ state: 'Connected', reason: 'Connected' })
  })

  describe('has bounds:', () => {
    const ts = (agoMs: number) => ((Date.now() - agoMs) / 1000).toFixed(6)

    test('twelve hours', async () => {
      const chat = slack.direct(0)
      kept.set('heard', [ts(48 * hourMs)]).set('chats', [chat])
      slack.say('U1', chat, 'too old', { more: { ts: ts(12 * hourMs + 60_000) } })
      slack.say('U1', chat, 'old', { more: { ts: ts(12 * hourMs - 60_000) } })
      await expect.poll(() => slack.pending(), patient).toBe(0)
      const channel = listening()
      await expect.poll(channel.texts, patient).toEqual(['old'])
    })

    test('ten minutes before the newest that is on the bus', async () => {
      const chat = slack.direct(0)
      kept.set('heard', [ts(hourMs)]).set('chats', [chat])
      slack.say('U1', chat, 'heard long ago', { more: { ts: ts(hourMs + 11 * 60_000) } })
      slack.say('U1', chat, 'tried still', { more: { ts: ts(hourMs + 9 * 60_000) } })
      await expect.poll(() => slack.pending(), patient).toBe(0)
      const channel = listening()
      await expect.poll(channel.texts, patient).toEqual(['tried still'])
    })

    test('the newest 1,000 messages of a chat', async () => {
      const chat = slack.direct(0)
      kept.set('heard', [ts(hourMs)]).set('chats', [chat])
      for (let n = 0; n <= 1_000; n++) slack.say('U1', chat, `${n}`)
      await expect.poll(() => slack.pending(), patient).toBe(0)
      const channel = listening()
      await expect.poll(() => channel.texts().at(-1), patient).toBe('1000')
      expect(channel.texts()).toEqual(Array.from({ length: 1_000 }, (_, n) => `${n + 1}`))
    })

    test('the 256 chats that spoke last', async () => {
      const first = listening()
      await connected()
      const chats = Array.from({ length: 257 }, (_, n) => slack.direct(n))
      for (const [n, chat] of chats.entries()) {
        slack.say(`U${n}`, chat, 'before')
        // What several chats say at once has no order between them.
        if (n < 2) await expect.poll(() => first.inbox.length, patient).toBe(n + 1)
      }
      await expect.poll(() => first.inbox.length, patient).toBe(257)
      // The first speaks again, so that the second is the one that spoke longest ago.
      slack.say('U0', slack.direct(0), 'once more')
      await expect.poll(() => first.texts().at(-1), patient).toBe('once more')
      await expect.poll(() => kept.get('chats')?.at(-1), patient).toBe(slack.direct(0))
      expect((kept.get('chats') ?? []).toSorted()).toEqual([...chats.slice(2), slack.direct(0)].toSorted())
    })
  })
})
