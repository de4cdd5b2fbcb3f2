import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams } from '#core/bus'
import { channelSubjects } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import {
  findPairing,
  getSent,
  lastHealth,
  publishHealth,
  publishReceived,
  publishSend,
  putSent,
  type Received,
  receivedMessages,
  sendItems,
  storePairing,
  takePairing,
} from './index.ts'

const address = { namespace: 'team', instance: 'helper', channel: 'chat' }
const at = '2026-01-02T03:04:05Z'

let nats: TestNats
let controller: Bus
let channel: Bus
let apiserver: Bus
const stop = new AbortController()
beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await ensureChannelConsumer(controller, address)
  channel = await nats.connect({ kind: 'channel', channel: address })
  apiserver = await nats.connect({ kind: 'apiserver' })
})
afterAll(async () => {
  stop.abort()
  await nats.close()
})

async function first<T>(all: AsyncIterable<T>): Promise<T> {
  for await (const one of all) return one
  throw new Error('nothing came')
}

test('a message goes from channel to controller, once, and what is no message goes nowhere', async () => {
  const message: Received = {
    ...{ id: '1', at, text: 'hello', mentioned: true, mayCommand: true, attachments: [] },
    chat: { id: '5', kind: 'direct' },
    sender: { id: '5', name: 'Ada', kind: 'person' },
  }
  const junk = channelSubjects(address).received
  await channel.request(junk, '{"text":')
  await channel.request(junk, '{"text":"no message"}')
  expect(await publishReceived(channel, address, message, { id: 'secret-1' })).toMatchObject({ duplicate: false })
  expect(await publishReceived(channel, address, message, { id: 'secret-1' })).toMatchObject({ duplicate: true })
  const taken = await first(receivedMessages(controller, stop.signal))
  expect(taken).toMatchObject({ channel: address, value: message })
  taken.message.ack()
  expect(() => publishReceived(channel, address, { ...message, text: 'x'.repeat(65_537) }, { id: '2' })).toThrow()
})

test('an item goes from controller to channel, once for each id', async () => {
  const item = { type: 'notice', id: 'n1', chat: { id: '5' }, text: 'hello' } as const
  expect(await publishSend(controller, address, item)).toMatchObject({ duplicate: false })
  expect(await publishSend(controller, address, item)).toMatchObject({ duplicate: true })
  const taken = await first(sendItems(channel, address, stop.signal))
  expect(taken.value).toEqual(item)
  taken.message.ack()
})

test('what was sent is remembered under any id', async () => {
  const said = { messages: ['m1', 'm2'], done: false }
  expect(await getSent(channel, address, 'run/1 *.>')).toBeUndefined()
  await putSent(channel, address, 'run/1 *.>', said)
  await putSent(channel, address, 'run/1 *.>', { ...said, done: true })
  expect(await getSent(channel, address, 'run/1 *.>')).toEqual({ ...said, done: true })
})

test('the last word on health counts', async () => {
  for (const state of ['Pending', 'Connected'] as const) {
    await publishHealth(channel, address, { state, reason: 'Said', message: 'It says so.', at })
  }
  expect(await lastHealth(controller, address)).toMatchObject({ state: 'Connected' })
})

test('of all who say a code one gets in, once, and in its namespace', async () => {
  const wish = { ...address, sender: { id: '5', name: 'Ada' } }
  await storePairing(controller, 'ABCD-2345', wish)
  await expect(storePairing(controller, 'ABCD-2345', wish)).rejects.toMatchObject({ code: 'conflict' })
  expect(await takePairing(apiserver, 'other', 'ABCD-2345')).toBeUndefined()
  expect(await takePairing(apiserver, 'team', 'ABCD-2346')).toBeUndefined()
  expect(await findPairing(apiserver, 'team', 'ABCD-2345')).toEqual(wish)
  const taken = await Promise.all(Array.from({ length: 8 }, () => takePairing(apiserver, 'team', 'ABCD-2345')))
  expect(taken.filter(Boolean)).toEqual([wish])
  expect(await takePairing(apiserver, 'team', 'ABCD-2345')).toBeUndefined()
})

test('a code is good for as long as its bucket keeps it, which is ten minutes', async () => {
  type Answer = { config: { max_age: number }; error?: object }
  const api = async (request: string, body: object = {}) =>
    (await controller.request(`$JS.API.STREAM.${request}.KV_pairing`, JSON.stringify(body))).json<Answer>()
  const { config } = await api('INFO')
  expect(config.max_age).toBe(10 * 60 * 1_000_000_000)
  const wish = { ...address, sender: { id: '6', name: 'Bob' } }
  await storePairing(controller, 'LATE-2345', wish)
  try {
    expect(await api('UPDATE', { ...config, max_age: 100_000_000, duplicate_window: 100_000_000 })).not.toHaveProperty(
      'error',
    )
    await expect.poll(() => findPairing(apiserver, 'team', 'LATE-2345'), { timeout: 20_000 }).toBeUndefined()
    expect(await takePairing(apiserver, 'team', 'LATE-2345')).toBeUndefined()
  } finally {
    expect(await api('UPDATE', config)).not.toHaveProperty('error')
  }
  await storePairing(controller, 'LATE-2345', wish)
  expect(await takePairing(apiserver, 'team', 'LATE-2345'), 'as good as any code that was never given').toEqual(wish)
})
