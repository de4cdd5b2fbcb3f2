import { createInbox } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runConsumerInfo, runConsumers, runSubjects } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { jsRequest } from './api.ts'
import { type Bus, consumerOfRun, ensureRunConsumers, ensureStreams, lastMessage, publish } from './index.ts'
import { consumerState } from './pull.ts'

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
