import { createInbox, headers } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  channelSubjects,
  pairingSubject,
  policySubjects,
  runConsumerInfo,
  runConsumers,
  runSubjects,
} from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { jsRequest } from './api.ts'
import {
  type Bus,
  consumerOfChannel,
  consumerOfRun,
  directGet,
  ensureChannelConsumer,
  ensureRunConsumers,
  ensureStreams,
  forgetChannel,
  lastMessage,
  listen,
  publish,
  readPending,
} from './index.ts'
import { consumerState } from './pull.ts'
import { streams } from './streams.ts'

const a = { namespace: 'red', instance: 'bot', uid: 'uid-a' }
const b = { namespace: 'blue', instance: 'bot', uid: 'uid-b' }

let nats: TestNats
let controller: Bus
let apiserver: Bus
let gateway: Bus
let bridgeA: Bus

beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await ensureRunConsumers(controller, a)
  await ensureRunConsumers(controller, b)
  apiserver = await nats.connect({ kind: 'apiserver' })
  gateway = await nats.connect({ kind: 'gateway' })
  bridgeA = await nats.connect({ kind: 'bridge', run: a })
})
afterAll(() => nats.close())

/** Whether the server refused the publish, as it says itself. */
async function refusedToPublish(bus: Bus, subject: string): Promise<boolean> {
  try {
    await bus.nats.request(subject, '{}', { timeout: 2_000 })
    return false
  } catch (error) {
    return /permissions violation for publish/i.test(String(error) + String((error as Error).cause))
  }
}

async function refusedToSubscribe(bus: Bus, subject: string): Promise<boolean> {
  const subscription = bus.nats.subscribe(subject)
  await bus.nats.flush()
  if (subscription.isClosed()) return /permissions violation for subscription/i.test(String(await subscription.closed))
  subscription.unsubscribe()
  return false
}

describe('the bridge of a run', () => {
  test('may write what is its own', async () => {
    const { journal, outcome, liveAgent } = runSubjects(a)
    for (const subject of [journal, outcome, liveAgent]) {
      expect((await publish(bridgeA, subject, {}, { id: subject })).sequence).toBeGreaterThan(0)
    }
  })

  test('is let in however long its names are', async () => {
    const long = { namespace: 'n'.repeat(63), instance: 'i'.repeat(63), uid: 'u'.repeat(36) }
    const given = nats.credentials({ kind: 'bridge', run: long, policy: 'p'.repeat(253) })
    // What nats-server reads of a connection's first line, less what stands beside the identity.
    expect(given.jwt.length).toBeLessThan(4096 - 512)
    const bus = await nats.connect({ kind: 'bridge', run: long, policy: 'p'.repeat(253) })
    expect((await publish(bus, runSubjects(long).journal, {}, { id: 'long' })).sequence).toBeGreaterThan(0)
  })

  test('forges nothing: not another run, not its inbox, not the model, not its usage, not a new run', async () => {
    const own = runSubjects(a)
    const other = runSubjects(b)
    const forged = [
      ...[other.journal, other.outcome, other.in, other.liveAgent, other.liveModel, other.usage],
      ...[own.in, own.liveModel, own.usage],
      `k8sclaw.${a.namespace}.${a.instance}.run.new.in`,
      `k8sclaw.${a.namespace}.${a.instance}.run.${a.uid}.ask`,
      'anything',
    ]
    for (const subject of forged) expect([subject, await refusedToPublish(bridgeA, subject)]).toEqual([subject, true])
  })

  test('subscribes to nothing but its own replies', async () => {
    const subjects = ['>', '_INBOX.>', '_INBOX_*.>', `${gateway.inboxPrefix}.>`, 'k8sclaw.>', runSubjects(a).record]
    for (const subject of [...subjects, runSubjects(b).in, '$JS.API.>', '$JS.EVENT.>', '$SYS.>']) {
      expect([subject, await refusedToSubscribe(bridgeA, subject)]).toEqual([subject, true])
    }
    expect(await refusedToSubscribe(bridgeA, createInbox(bridgeA.inboxPrefix))).toBe(false)
  })

  test('may ask JetStream for its two consumers and for nothing else', async () => {
    const mine = runConsumers(a.uid)
    const theirs = runConsumers(b.uid)
    for (const which of ['in', 'journal'] as const) {
      expect(await consumerState(bridgeA, consumerOfRun(a.uid, which))).toMatchObject({ num_ack_pending: 0 })
    }
    const refused = [
      ...Object.values(theirs).flatMap((name) => [
        runConsumerInfo(name),
        `$JS.API.CONSUMER.MSG.NEXT.RUNS.${name}`,
        `$JS.ACK.RUNS.${name}.1.1.1.1.0`,
      ]),
      ...['INFO', 'STREAM.NAMES', 'STREAM.LIST', 'STREAM.INFO.RUNS', 'STREAM.MSG.GET.RUNS', 'DIRECT.GET.RUNS'],
      ...['STREAM.PURGE.RUNS', 'STREAM.DELETE.RUNS', 'STREAM.MSG.DELETE.RUNS', 'STREAM.CREATE.MINE'],
      ...Object.values(mine).map((name) => `CONSUMER.INFO.RUNS.${name}`),
      ...['CONSUMER.NAMES.RUNS', 'CONSUMER.CREATE.RUNS', `CONSUMER.CREATE.RUNS.${mine.in}.${runSubjects(b).in}`],
      ...[`CONSUMER.DURABLE.CREATE.RUNS.${mine.in}`, `CONSUMER.DELETE.RUNS.${mine.in}`],
    ].map((subject) => (/^(\$|k8sclaw)/.test(subject) ? subject : `$JS.API.${subject}`))
    for (const subject of refused) expect([subject, await refusedToPublish(bridgeA, subject)]).toEqual([subject, true])
  })

  test('has no answer of the server sent where it could not publish itself', async () => {
    const own = { ...a, uid: 'uid-reply' }
    await ensureRunConsumers(controller, own)
    await publish(controller, runSubjects(b).in, {}, { id: 'victim' })
    const before = await stored()
    const bridge = await nats.connect({ kind: 'bridge', run: own })
    const { journal } = runSubjects(own)
    const { in: consumer } = runConsumers(own.uid)
    const other = runSubjects(b)
    const targets = [
      ...['STREAM.DELETE.RUNS', 'STREAM.PURGE.RUNS', 'STREAM.DELETE.LIVE', 'CONSUMER.DELETE.RUNS.uid-b-in'].map(
        (call) => `$JS.API.${call}`,
      ),
      ...[other.journal, other.outcome, other.in, other.liveModel, other.usage, runSubjects(own).usage],
    ]
    for (const reply of targets) {
      bridge.nats.publish(journal, '{}', { reply })
      bridge.nats.publish(runConsumerInfo(consumer), '', { reply })
      bridge.nats.publish(`$JS.API.CONSUMER.MSG.NEXT.RUNS.${consumer}`, '{"batch":1,"no_wait":true}', { reply })
      bridge.nats.publish(`$JS.ACK.RUNS.${consumer}.1.1.1.1.0`, '+ACK', { reply })
    }
    // What was published first has been answered once the last one is.
    await publish(bridge, journal, {}, { id: 'last' })
    await controller.nats.flush()
    const after = await stored()
    expect(after).toEqual({ ...before, RUNS: before.RUNS + targets.length + 1 })
    expect(await lastMessage(controller, 'RUNS', other.outcome)).toBeUndefined()
    expect(await consumerState(controller, { stream: 'RUNS', consumer: 'uid-b-in' })).toBeTruthy()
  })
})

describe('a chat channel', () => {
  const mine = { namespace: 'red', instance: 'bot', channel: 'chat' }
  const others = [
    { ...mine, channel: 'other' },
    { ...mine, instance: 'other' },
    { ...mine, namespace: 'blue' },
  ]
  let channel: Bus

  beforeAll(async () => {
    for (const one of [mine, ...others]) await ensureChannelConsumer(controller, one)
    channel = await nats.connect({ kind: 'channel', channel: mine })
  })

  test('says what it received and how its service is, and remembers what it sent', async () => {
    const { received, health, sent, getSent } = channelSubjects(mine)
    expect(await directGet(channel, getSent('key'))).toBeUndefined()
    for (const subject of [received, health, sent('key')]) {
      expect((await publish(channel, subject, { subject }, { id: subject })).sequence).toBeGreaterThan(0)
    }
    expect(await directGet(channel, getSent('key'))).toEqual({ subject: sent('key') })
  })

  test('is let in however long its names are', async () => {
    const long = { namespace: 'n'.repeat(63), instance: 'i'.repeat(63), channel: 'c'.repeat(63) }
    const { received } = channelSubjects(long)
    expect(
      (await publish(await nats.connect({ kind: 'channel', channel: long }), received, {}, { id: 'long' })).sequence,
    ).toBeGreaterThan(0)
  })

  test('reads what it is to say, and nothing that is said to another', async () => {
    for (const one of [mine, ...others]) {
      const { send } = channelSubjects(one)
      await publish(controller, send, { send }, { id: send })
    }
    const pending = await readPending(channel, consumerOfChannel(mine), AbortSignal.timeout(10_000))
    expect(pending.map(({ value }) => value())).toEqual([{ send: channelSubjects(mine).send }])
    for (const other of others) {
      const { consumer, info = '' } = consumerOfChannel(other)
      for (const subject of [
        info,
        `$JS.API.CONSUMER.MSG.NEXT.CHANNEL_SEND.${consumer}`,
        `$JS.ACK.CHANNEL_SEND.${consumer}.1.1.1.1.0`,
        channelSubjects(other).getSent('key'),
      ]) {
        expect([subject, await refusedToPublish(channel, subject)]).toEqual([subject, true])
      }
    }
  })

  test('forges nothing: not another channel, not its own orders, no run, no pairing', async () => {
    const forged = [
      ...others.flatMap((other) => {
        const { received, send, health, sent } = channelSubjects(other)
        return [received, send, health, sent('key')]
      }),
      channelSubjects(mine).send,
      '$KV.sent.red.bot.chat.key.deeper',
      pairingSubject('red', 'code'),
      ...Object.values(runSubjects(a)).filter((subject) => !subject.includes('*')),
      runConsumerInfo(runConsumers(a.uid).in),
      policySubjects({ namespace: 'red', name: 'strict' }).get,
      ...['STREAM.INFO.CHANNEL_SEND', 'STREAM.PURGE.KV_sent', 'STREAM.MSG.GET.CHANNEL_RECEIVED'].map(api),
      ...['STREAM.NAMES', 'CONSUMER.CREATE.CHANNEL_SEND', 'DIRECT.GET.KV_sent', 'INFO'].map(api),
    ]
    for (const subject of forged) expect([subject, await refusedToPublish(channel, subject)]).toEqual([subject, true])
  })

  test('hears the model of its own instance, and nothing else', async () => {
    const { live } = channelSubjects(mine)
    for (const subject of [
      ...[
        '>',
        '_INBOX.>',
        `${gateway.inboxPrefix}.>`,
        'k8sclaw.>',
        'k8sclaw.red.bot.>',
        'k8sclaw.*.bot.run.*.live.model',
      ],
      ...others.flatMap((other) => {
        const { received, send, live: theirs } = channelSubjects(other)
        return other.instance === mine.instance && other.namespace === mine.namespace
          ? [received, send]
          : [received, send, theirs]
      }),
      ...[channelSubjects(mine).received, channelSubjects(mine).send, runSubjects(a).record, runSubjects(a).liveAgent],
    ]) {
      expect([subject, await refusedToSubscribe(channel, subject)]).toEqual([subject, true])
    }
    expect(live).toBe('k8sclaw.red.bot.run.*.live.model')
    const stop = new AbortController()
    const heard: unknown[] = []
    listen(channel, runSubjects(a).liveModel, stop.signal, (value) => heard.push(value))
    await channel.nats.flush()
    await publish(gateway, runSubjects(b).liveModel, 'of blue', { id: 'live-b' })
    await publish(gateway, runSubjects(a).liveModel, 'of red', { id: 'live-a' })
    await expect.poll(() => heard).toEqual(['of red'])
    stop.abort()
  })

  test('has no answer of the server sent where it could not publish itself', async () => {
    const { received, health, sent, getSent } = channelSubjects(mine)
    const { consumer, info = '' } = consumerOfChannel(mine)
    await publish(controller, channelSubjects(mine).send, {}, { id: 'again' })
    const victims = others.flatMap((other) => {
      const subjects = channelSubjects(other)
      return [subjects.received, subjects.send, subjects.health, subjects.sent('key')]
    })
    const targets = [
      ...victims,
      channelSubjects(mine).send,
      pairingSubject('blue', 'code'),
      runSubjects(b).in,
      runSubjects(b).outcome,
      ...['STREAM.DELETE.CHANNEL_SEND', 'STREAM.PURGE.KV_sent', 'STREAM.DELETE.RUNS'].map(api),
      api(`CONSUMER.DELETE.CHANNEL_SEND.${consumer}`),
    ]
    const before = await everyStream()
    for (const reply of targets) {
      channel.nats.publish(received, '{}', { reply })
      channel.nats.publish(health, '{}', { reply })
      channel.nats.publish(sent('reply'), '{}', { reply })
      channel.nats.publish(getSent('key'), '', { reply })
      channel.nats.publish(info, '', { reply })
      channel.nats.publish(`$JS.API.CONSUMER.MSG.NEXT.CHANNEL_SEND.${consumer}`, '{"batch":1,"no_wait":true}', {
        reply,
      })
      channel.nats.publish(`$JS.ACK.CHANNEL_SEND.${consumer}.1.1.1.1.0`, '+NXT', { reply })
    }
    // What was published first has been answered once the last one is.
    await publish(channel, received, '{}', { id: 'last' })
    await controller.nats.flush()
    const after = await everyStream()
    expect(after).toEqual({
      ...before,
      CHANNEL_RECEIVED: (before.CHANNEL_RECEIVED ?? 0) + targets.length + 1,
      KV_sent: (before.KV_sent ?? 0) + 1,
    })
    expect(await consumerState(controller, { stream: 'CHANNEL_SEND', consumer })).toBeTruthy()
  })

  test('forgets nothing of others by a header: no rollup, and a message id counts among its own kind only', async () => {
    const { sent, received } = channelSubjects(mine)
    const [other = mine] = others
    await publish(controller, channelSubjects(other).send, {}, { id: 'kept' })
    const before = await everyStream()
    for (const scope of ['all', 'sub']) {
      for (const subject of [sent('key'), received]) {
        const head = headers()
        head.set('Nats-Rollup', scope)
        const { data } = await channel.nats.request(subject, '{}', { timeout: 2_000, headers: head })
        expect(Buffer.from(data).toString()).toMatch(/rollup not permitted/)
      }
    }
    expect(await everyStream()).toEqual(before)
    await publish(channel, received, {}, { id: 'chosen' })
    const { duplicate } = await publish(controller, channelSubjects(other).send, {}, { id: 'chosen' })
    expect(duplicate).toBe(false)
  })

  test('that is deleted leaves nothing, and takes nothing of another with it', async () => {
    const [other = mine] = others
    const theirs = await nats.connect({ kind: 'channel', channel: other })
    await publish(theirs, channelSubjects(other).sent('key'), { kept: true }, { id: 'theirs' })
    await forgetChannel(controller, mine)
    await forgetChannel(controller, mine)
    expect(await directGet(channel, channelSubjects(mine).getSent('key'))).toBeUndefined()
    expect(await lastMessage(controller, 'CHANNEL_RECEIVED', channelSubjects(mine).received)).toBeUndefined()
    expect(await directGet(theirs, channelSubjects(other).getSent('key'))).toEqual({ kept: true })
    expect(await consumerState(theirs, consumerOfChannel(other))).toMatchObject({ num_pending: 3 })
  })
})

const api = (call: string) => `$JS.API.${call}`

async function everyStream(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { name } of streams) {
    counts[name] = (await jsRequest<{ state: { messages: number } }>(controller, `STREAM.INFO.${name}`)).state.messages
  }
  return counts
}

async function stored(): Promise<Record<'RUNS' | 'LIVE' | 'USAGE', number>> {
  const count = async (stream: string) =>
    (await jsRequest<{ state: { messages: number } }>(controller, `STREAM.INFO.${stream}`)).state.messages
  return { RUNS: await count('RUNS'), LIVE: await count('LIVE'), USAGE: await count('USAGE') }
}

test('the gateway writes live text and usage of any run and nothing else', async () => {
  const { liveModel, usage, journal, outcome, in: inbox, liveAgent } = runSubjects(b)
  for (const subject of [liveModel, usage]) await publish(gateway, subject, {}, { id: subject })
  for (const subject of [journal, outcome, inbox, liveAgent, '$JS.API.INFO', '$JS.API.STREAM.MSG.GET.RUNS']) {
    expect([subject, await refusedToPublish(gateway, subject)]).toEqual([subject, true])
  }
})

test('the API server sends into runs and reads them, and neither records nor administers', async () => {
  const { in: inbox, journal, outcome, usage, liveModel } = runSubjects(b)
  await publish(apiserver, inbox, {}, { id: 'in' })
  const admin = ['STREAM.PURGE.RUNS', 'STREAM.UPDATE.RUNS', 'STREAM.DELETE.RUNS', 'CONSUMER.DELETE.RUNS.uid-b-in']
  for (const subject of [journal, outcome, usage, liveModel, ...admin.map((name) => `$JS.API.${name}`)]) {
    expect([subject, await refusedToPublish(apiserver, subject)]).toEqual([subject, true])
  }
})

test('the controller writes no journal', async () => {
  expect(await refusedToPublish(controller, runSubjects(a).journal)).toBe(true)
  await expect(publish(controller, runSubjects(a).journal, {}, { id: 'x' })).rejects.toMatchObject({
    code: 'forbidden',
  })
})
