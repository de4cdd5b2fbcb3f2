/** What the program of the channel makes of what no service should say, and what the status says of its service. */
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams } from '#core/bus'
import { lastHealth, publishSend, type Received, receivedMessages } from '#core/channels'
import { type DiscordService, startDiscord } from '../../../test/services/discord.ts'
import { metricValues } from '../../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { freePort } from '../../../test/support/ports.ts'
import { channel, Rig } from '../rig.test-support.ts'

const patient = { timeout: 60_000, interval: 50 }
const long = { timeout: 180_000 }
let discord: DiscordService
let nats: TestNats
let controller: Bus
let rig: Rig
let stop: AbortController
let inbox: Received[]
let metrics: string

beforeEach(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await ensureChannelConsumer(controller, channel)
  metrics = `127.0.0.1:${await freePort()}`
  stop = new AbortController()
  inbox = []
  void (async () => {
    for await (const { value, message } of receivedMessages(controller, stop.signal)) {
      inbox.push(value)
      message.ack()
    }
  })()
  discord = await startDiscord({ heartbeatMs: 500 })
  rig = await Rig.make(nats, join(import.meta.dirname, 'main.ts'), discord.env)
}, 60_000)
afterEach(async () => {
  stop.abort()
  await rig.close()
  await discord.close()
  await nats.close()
})

const start = (env: Record<string, string> = {}) => rig.start({ K8SCLAW_METRICS_LISTEN: metrics, ...env })
/** As the status of the instance shows it. */
const status = async () => {
  const { state, reason } = (await lastHealth(controller, channel)) ?? {}
  return `${state} ${reason}`
}
const shows = (what: string) => expect.poll(status, patient).toBe(what)
const count = async (result: string) =>
  (await metricValues(metrics, 'k8sclaw_channel_received_total'))[`{result="${result}"}`] ?? 0
const notice = (chat: string) =>
  publishSend(controller, channel, { type: 'notice', id: 'n', chat: { id: chat }, text: 'n' })

test('10,000 events of any form are refused and counted, and the channel goes on', long, async () => {
  await start()
  await shows('Connected Connected')
  const names = ['MESSAGE_CREATE', 'INTERACTION_CREATE', 'GUILD_CREATE', 'THREAD_CREATE', 'CHANNEL_CREATE', 'NEW', '']
  const fields = ['id', 'channel_id', 'author', 'content', 'timestamp', 'mentions', 'data', 'channel', '__proto__']
  const hostile = fc.record({
    name: fc.constantFrom(...names),
    data: fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...fields), fc.jsonValue())),
  })
  const events = fc.sample(hostile, { numRuns: 10_000, seed: 5 })
  for (let at = 0; at < events.length; at += 1_000) {
    // As much as the channel keeps waiting comes at once, and no more.
    for (const { name, data } of events.slice(at, at + 1_000)) discord.gateway.dispatch(name, data as object)
    await expect.poll(() => discord.gateway.allHeard(), patient).toBe(true)
  }
  const known = events.filter(({ name }) => name.includes('_CREATE')).length
  await expect.poll(() => count('malformed'), patient).toBeGreaterThanOrEqual(known)
  for (const frame of ['', '{', '[]', '7', 'null', '{"op":99}', '{"op":"x"}', '{}', '"', '\u0000'])
    discord.gateway.raw(frame)
  discord.say(discord.user('Alice'), discord.direct(), 'still there?')
  await expect.poll(() => inbox.map(({ text }) => text), patient).toEqual(['still there?'])
})

describe('the status says', long, () => {
  test('WrongToken for a token that Discord does not know, from the start and when it is reset (4004)', async () => {
    discord.refuseToken(true)
    await start()
    await shows('Error WrongToken')
    discord.refuseToken(false)
    await shows('Connected Connected')
    discord.refuseToken(true)
    await shows('Error WrongToken')
    expect((await lastHealth(controller, channel))?.message).not.toContain(discord.token)
  })

  test('MissingIntent where the intent of message content is not turned on, and how to turn it on', async () => {
    discord.intents(0)
    await start()
    await shows('Error MissingIntent')
    expect(discord.gateway.counts.closed).toContain(4014)
    expect((await lastHealth(controller, channel))?.message).toMatch(/Message Content Intent.*developer portal/)
    discord.intents(1 << 15)
    await shows('Connected Connected')
  })

  test('RateLimited while Discord refuses what is said for that, and no more when it takes it', async () => {
    await start()
    await shows('Connected Connected')
    discord.flood(10_000)
    await notice(discord.direct().id)
    await shows('Connected RateLimited')
    discord.flood(0)
    await shows('Connected Connected')
    expect(discord.impatient()).toBe(0)
  })

  test('Outage while what stands before Discord answers 503, and when nobody answers', async () => {
    discord.faults.answerWith(503)
    await start()
    await shows('Disconnected Outage')
    discord.faults.answerWith(0)
    await shows('Connected Connected')
    discord.outage(true)
    await shows('Disconnected Outage')
    discord.outage(false)
    await shows('Connected Connected')
  })
})
