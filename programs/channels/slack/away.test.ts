import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ensureChannelConsumer, ensureStreams } from '#core/bus'
import { getSent, lastHealth, type Received, receivedMessages } from '#core/channels'
import { type SlackService, startSlack } from '../../../test/services/slack.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { channel, Rig } from '../rig.test-support.ts'

const patient = { timeout: 60_000, interval: 50 }

describe('at a Slack that tries once more and then never again, the program', { timeout: 180_000 }, () => {
  let nats: TestNats
  let slack: SlackService
  let rig: Rig
  let inbox: Received[]
  let stop: AbortController

  beforeEach(async () => {
    nats = await startNats()
    slack = await startSlack({ retryMs: 200, tries: 2 })
    rig = await Rig.make(nats, join(import.meta.dirname, 'main.ts'), slack.env)
    const controller = await nats.connect({ kind: 'controller' })
    await ensureStreams(controller)
    await ensureChannelConsumer(controller, channel)
    stop = new AbortController()
    inbox = []
    void (async () => {
      for await (const { value, message } of receivedMessages(controller, stop.signal)) {
        inbox.push(value)
        message.ack()
      }
    })()
    await rig.start()
    const state = async () => (await lastHealth(controller, channel))?.state
    await expect.poll(state, patient).toBe('Connected')
    await say('before')
    await hears(['before'])
    const mine = await nats.connect({ kind: 'channel', channel })
    const remembered = async (name: string) => (await getSent(mine, channel, `memory/${name}`))?.messages.length
    for (const name of ['heard', 'chats']) await expect.poll(() => remembered(name), patient).toBe(1)
  }, 120_000)
  afterEach(async () => {
    stop.abort()
    await rig.close()
    await slack.close()
    await nats.close()
  })

  const chat = () => slack.direct(0)
  /** Resolves once Slack is done with it, whatever became of it. */
  async function say(text: string): Promise<void> {
    slack.say('U1', chat(), text)
    await expect.poll(() => slack.pending(), patient).toBe(0)
  }
  const hears = (texts: string[]) => expect.poll(() => inbox.map(({ text }) => text), patient).toEqual(texts)

  test('that was killed hears what was said meanwhile, once, whatever Slack delivers again', async () => {
    await rig.kill9()
    await say('one')
    await say('two')
    expect(slack.givenUp()).toBeGreaterThanOrEqual(2)
    await rig.start()
    await hears(['before', 'one', 'two'])
    slack.again()
    await say('three')
    await hears(['before', 'one', 'two', 'three'])
  })

  test('keeps what was said while the bus was away', async () => {
    await nats.kill9()
    await say('one')
    await say('two')
    expect(slack.givenUp()).toBeGreaterThanOrEqual(2)
    await nats.restart()
    await hears(['before', 'one', 'two'])
  })

  test('that was killed while the bus was away hears what it had heard, and what it had not', async () => {
    await nats.kill9()
    await say('heard, and not stored')
    await rig.kill9()
    await say('not heard')
    expect(slack.givenUp()).toBeGreaterThanOrEqual(2)
    await nats.restart()
    await rig.start()
    await hears(['before', 'heard, and not stored', 'not heard'])
    await say('now')
    await hears(['before', 'heard, and not stored', 'not heard', 'now'])
  })
})
