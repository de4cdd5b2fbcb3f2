/** What the program of the channel makes of what no service should say, and what the status says of its service. */
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams } from '#core/bus'
import { lastHealth, publishSend, type Received, receivedMessages } from '#core/channels'
import { type SlackService, startSlack } from '../../../test/services/slack.ts'
import { metricValues } from '../../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { freePort } from '../../../test/support/ports.ts'
import { channel, Rig } from '../rig.test-support.ts'

const patient = { timeout: 60_000, interval: 50 }
const long = { timeout: 180_000 }
let slack: SlackService
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
  slack = await startSlack()
  rig = await Rig.make(nats, join(import.meta.dirname, 'main.ts'), slack.env)
}, 60_000)
afterEach(async () => {
  stop.abort()
  await rig.close()
  await slack.close()
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

const strange = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.string(), fc.constantFrom('__proto__', -1, 1e308, '😀'))

test('10,000 hostile frames are refused and counted, and the channel goes on', long, async () => {
  await start()
  await expect.poll(() => slack.connections(), patient).toBe(2)
  const event = fc.record(
    {
      type: fc.constantFrom('message', 'app_mention', 'error', 'close', 'ws_message', 'disconnected'),
      ...{ subtype: strange, channel: fc.oneof(fc.constant('D1'), strange), channel_type: strange },
      ...{ user: fc.oneof(fc.constant('U1'), strange), bot_id: strange, ts: fc.oneof(fc.constant('1.1'), strange) },
      ...{ text: fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), strange), thread_ts: strange },
      ...{ files: strange, attachments: strange, team: strange, user_team: strange, parent_user_id: strange },
    },
    { requiredKeys: ['type'] },
  )
  const payload = fc.oneof(
    strange,
    event.map((one) => ({ type: 'event_callback', team_id: 'T0001', event: one })),
    fc.record({ type: fc.constant('event_callback'), team_id: strange, event: strange, authorizations: strange }),
  )
  const noEnvelope = fc.oneof(
    fc.string({ unit: 'binary' }),
    strange.map((one) => JSON.stringify(one)),
    fc
      .record({ type: fc.constantFrom('error', 'close', 'hello2'), envelope_id: strange, payload })
      .map((one) => JSON.stringify(one)),
  )
  const envelope = payload.map((one) => JSON.stringify({ type: 'events_api', envelope_id: 'e', payload: one }))
  const frames = [noEnvelope, envelope].map((frame) => fc.sample(frame, { numRuns: 2_500, seed: 5 }))
  // To each of the two connections.
  for (const frame of frames.flat()) slack.frame(frame)
  slack.say('U1', slack.direct(0), 'after it all')
  await expect.poll(() => inbox.some(({ text }) => text === 'after it all'), patient).toBe(true)
  expect(slack.connections()).toBe(2)
  await expect.poll(() => count('malformed'), patient).toBeGreaterThanOrEqual(2 * 2_500)
})

test('10,000 hostile requests are answered, counted, and no word to the bus', long, async () => {
  const port = await freePort()
  const { SLACK_APP_TOKEN: _, ...env } = slack.env
  rig = await Rig.make(nats, join(import.meta.dirname, 'main.ts'), env)
  await start({ SLACK_SIGNING_SECRET: slack.signingSecret, K8SCLAW_LISTEN: `127.0.0.1:${port}` })
  await shows('Connected Connected')
  const header = fc.oneof(fc.stringMatching(/^[!-~]{0,80}$/), fc.stringMatching(/^v0=[0-9a-f]{64}$/))
  const at = fc.oneof(header, fc.constant(String(Math.floor(Date.now() / 1000))))
  const forged = fc.tuple(fc.string({ unit: 'binary' }), header, at).map(([body, signature, time]) => ({
    body,
    headers: { 'x-slack-signature': signature, 'x-slack-request-timestamp': time },
  }))
  const nonsense = fc.oneof(fc.json(), fc.string({ unit: 'binary' })).map((body) => ({ body, headers: undefined }))
  const statuses: Record<string, number> = {}
  for (const { body, headers } of fc.sample(fc.oneof(forged, nonsense), { numRuns: 10_000, seed: 5 })) {
    const init = { method: 'POST', body, headers: headers ?? slack.sign(body) }
    const answer = await fetch(`http://127.0.0.1:${port}/webhook`, init)
    await answer.body?.cancel()
    const label = `{status="${answer.status}"}`
    statuses[label] = (statuses[label] ?? 0) + 1
  }
  expect(Object.keys(statuses).sort()).toEqual(['{status="200"}', '{status="400"}', '{status="401"}'])
  await expect.poll(() => metricValues(metrics, 'k8sclaw_channel_webhook_requests_total'), patient).toEqual(statuses)
  // What Slack has signed and nobody can read is counted as well.
  await expect.poll(() => count('malformed'), patient).toBe(statuses['{status="200"}'])
  expect(inbox).toEqual([])
})

describe('the status says', long, () => {
  test.each([
    ['WrongToken', 'invalid_auth'],
    ['Revoked', 'token_revoked'],
    ['AccountInactive', 'account_inactive'],
    ['MissingScope', 'missing_scope'],
  ])('%s where Slack says %s', async (reason, error) => {
    await start()
    await shows('Connected Connected')
    slack.refuse(error)
    slack.drop()
    await shows(`Error ${reason}`)
    slack.refuse('')
    await shows('Connected Connected')
    expect((await lastHealth(controller, channel))?.message).not.toContain(slack.env.SLACK_BOT_TOKEN)
  })

  test('RateLimited while Slack refuses what is said for that, and no more when it takes it', async () => {
    await start()
    await shows('Connected Connected')
    slack.flood(10_000)
    await notice(slack.direct(0))
    await shows('Connected RateLimited')
    slack.flood(0)
    await shows('Connected Connected')
    expect(slack.impatientCalls()).toBe(0)
  })

  test('Outage while what stands before Slack answers 503, and when nobody answers', async () => {
    slack.faults.answerWith(503)
    await start()
    await shows('Disconnected Outage')
    slack.faults.answerWith(0)
    await shows('Connected Connected')
    slack.outage(true)
    await shows('Disconnected Outage')
    slack.outage(false)
    await shows('Connected Connected')
  })
})
