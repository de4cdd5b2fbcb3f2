import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bus, ensureStreams, publishBytes, purgeRun } from '#core/bus'
import { fileSubjects } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { getFile, getFileList, maxFileBytes, putFile, putFileList } from './index.ts'

const run = { namespace: 'red', instance: 'bot', uid: 'uid-a' }
const from = { channel: 'chat' }
const later = AbortSignal.timeout(60_000)

let nats: TestNats
let controller: Bus
let channel: Bus
let bridge: Bus
beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  channel = await nats.connect({ kind: 'channel', channel: { ...run, channel: 'chat' } })
  bridge = await nats.connect({ kind: 'bridge', run })
})
afterAll(() => nats.close())

test('a file goes from the channel to the run, whole, and again is once', async () => {
  for (const size of [0, 1, 512 * 1024, 512 * 1024 + 1, 3_000_000]) {
    const bytes = randomBytes(size)
    const stored = await putFile(channel, run, from, bytes)
    expect(stored).toEqual({ sha256: createHash('sha256').update(bytes).digest('hex'), size })
    expect(await putFile(channel, run, from, bytes)).toEqual(stored)
    expect((await getFile(bridge, run, from, stored))?.equals(bytes)).toBe(true)
  }
})

test('a file goes from the run to the channel', async () => {
  const stored = await putFile(bridge, run, 'agent', Buffer.from('an answer'))
  expect((await getFile(channel, run, 'agent', stored))?.toString()).toBe('an answer')
})

test('what a channel brought is said once it is', async () => {
  expect(await getFileList(bridge, run, from)).toBeUndefined()
  const list = [
    { name: 'a.txt', type: 'text/plain', size: 1, sha256: '0'.repeat(64) },
    { name: 'b.exe', leftOut: 'type' as const },
  ]
  await putFileList(channel, run, from, list)
  expect(await getFileList(bridge, run, from)).toEqual(list)
  await channel.request(fileSubjects(run, from).list, '{"not":"a list"}')
  expect(await getFileList(bridge, run, from)).toBeUndefined()
})

test('what is not what its hash says, not whole, or longer than was said is not there', async () => {
  const bytes = randomBytes(1_000_000)
  const stored = await putFile(channel, run, from, bytes)
  for (const size of [0, 1, 999_999, 1_000_001, maxFileBytes + 1])
    expect(await getFile(bridge, run, from, { ...stored, size })).toBeUndefined()
  expect(await getFile(bridge, run, from, { sha256: 'f'.repeat(64), size: 5 })).toBeUndefined()
  const { chunk } = fileSubjects(run, from)
  await publishBytes(channel, chunk(stored.sha256, 1), randomBytes(1_000_000 - 512 * 1024), { id: 'other' })
  expect(await getFile(bridge, run, from, stored)).toBeUndefined()
  await expect(putFile(channel, run, from, Buffer.alloc(maxFileBytes + 1))).rejects.toMatchObject({ code: 'too_large' })
})

test('nobody writes for another, and nobody reads what is not for them', async () => {
  const others = {
    channel: await nats.connect({ kind: 'channel', channel: { ...run, channel: 'other' } }),
    instance: await nats.connect({ kind: 'channel', channel: { ...run, instance: 'other', channel: 'chat' } }),
    tenant: await nats.connect({ kind: 'channel', channel: { ...run, namespace: 'blue', channel: 'chat' } }),
    run: await nats.connect({ kind: 'bridge', run: { ...run, uid: 'uid-b' } }),
    stranger: await nats.connect({ kind: 'bridge', run: { ...run, namespace: 'blue' } }),
    gateway: await nats.connect({ kind: 'gateway' }),
  }
  const brought = fileSubjects(run, from)
  const handed = fileSubjects(run, 'agent')
  const sha256 = (await putFile(channel, run, from, Buffer.from('secret'))).sha256
  await putFile(bridge, run, 'agent', Buffer.from('secret'))
  const refused = async (bus: Bus, subject: string) => {
    try {
      await bus.nats.request(subject, '', { timeout: 2_000 })
      return false
    } catch (error) {
      return /permissions violation/i.test(String(error) + String((error as Error).cause))
    }
  }
  const all = [brought.chunk(sha256, 0), brought.list, handed.chunk(sha256, 0)]
  const reads = [brought.readChunk(sha256, 0), brought.readList, handed.readChunk(sha256, 0)]
  for (const [who, bus] of Object.entries(others)) {
    // Another channel of the same instance may read what its agents hand over, and nothing else.
    const mine = who === 'channel' ? [handed.readChunk(sha256, 0)] : []
    for (const subject of [...all, ...reads])
      expect([who, subject, await refused(bus, subject)]).toEqual([who, subject, !mine.includes(subject)])
  }
  for (const subject of [
    handed.chunk(sha256, 0),
    brought.readChunk(sha256, 0),
    '$JS.API.DIRECT.GET.FILES',
    '$JS.API.STREAM.INFO.FILES',
  ])
    expect([subject, await refused(channel, subject)]).toEqual([subject, true])
  for (const subject of [
    brought.chunk(sha256, 0),
    brought.list,
    '$JS.API.DIRECT.GET.FILES',
    '$JS.API.STREAM.PURGE.FILES',
  ])
    expect([subject, await refused(bridge, subject)]).toEqual([subject, true])
  for (const subject of [brought.all, handed.all, brought.readAll]) {
    const listening = bridge.nats.subscribe(subject)
    await bridge.nats.flush()
    expect(listening.isClosed()).toBe(true)
  }
})

test('no answer of the server goes where its asker could not publish', async () => {
  const victim = { ...run, namespace: 'blue' }
  const { chunk, list } = fileSubjects(victim, from)
  const { sha256 } = await putFile(bridge, run, 'agent', Buffer.from('an answer'))
  const mine = fileSubjects(run, 'agent')
  for (const reply of [
    chunk(sha256, 0),
    list,
    fileSubjects(victim, 'agent').chunk(sha256, 0),
    '$JS.API.STREAM.PURGE.FILES',
  ]) {
    bridge.nats.publish(mine.chunk(sha256, 0), 'an answer', { reply })
    bridge.nats.publish(mine.readChunk(sha256, 0), '', { reply })
  }
  // What was published first has been answered once this is.
  await bridge.nats.request(mine.readChunk(sha256, 0), '', { timeout: 5_000 })
  const theirs = await nats.connect({ kind: 'bridge', run: victim })
  expect(await getFileList(theirs, victim, from)).toBeUndefined()
  expect(await getFile(theirs, victim, from, { sha256, size: 9 })).toBeUndefined()
  expect((await getFile(channel, run, 'agent', { sha256, size: 9 }))?.toString()).toBe('an answer')
})

test('files go with the record of their run, and no others', async () => {
  const other = { ...run, uid: 'uid-kept' }
  const stored = await putFile(channel, run, from, Buffer.from('gone'))
  const kept = await putFile(channel, other, from, Buffer.from('kept'))
  await purgeRun(controller, run)
  expect(await getFile(bridge, run, from, stored)).toBeUndefined()
  const theirs = await nats.connect({ kind: 'bridge', run: other })
  expect((await getFile(theirs, other, from, kept))?.toString()).toBe('kept')
})

test('a store that is full refuses, and says so', async () => {
  const config = { name: 'FILES', subjects: ['k8sclaw.*.*.run.*.file.*.*.*'], discard: 'new', max_bytes: 2_000_000 }
  const shrink = {
    ...config,
    storage: 'file',
    max_age: 0,
    max_msgs_per_subject: 1,
    deny_delete: true,
    allow_direct: true,
  }
  const { error } = (await controller.nats.request('$JS.API.STREAM.UPDATE.FILES', JSON.stringify(shrink))).json<{
    error?: unknown
  }>()
  expect(error).toBeUndefined()
  await purgeRun(controller, run)
  await expect(putFile(channel, run, from, randomBytes(3_000_000), later)).rejects.toMatchObject({ code: 'full' })
  await ensureStreams(controller)
})
