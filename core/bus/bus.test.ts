import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { publicKeyOf, runConsumers, runSubjects, signBusUser } from '#core/identity'
import { createLogger } from '#core/telemetry'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { jsRequest } from './api.ts'
import {
  type Bus,
  connectBus,
  consume,
  consumerOfRun,
  deleteRunConsumers,
  ensureConsumer,
  ensureRunConsumers,
  ensureStreams,
  publish,
  purgeRun,
  readPending,
  tail,
  tradeIdentity,
} from './index.ts'

const log = createLogger('test')
log.level = 'silent'
const run = { namespace: 'team', instance: 'bot', uid: 'uid-1' }
const subjects = runSubjects(run)

let nats: TestNats
let controller: Bus
beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await ensureRunConsumers(controller, run)
})
afterAll(() => nats.close())

let stop = new AbortController()
afterEach(() => {
  stop.abort()
  stop = new AbortController()
})

async function sequences(messages: AsyncIterable<{ sequence: number }>, count: number): Promise<number[]> {
  const seen: number[] = []
  for await (const message of messages) {
    seen.push(message.sequence)
    if (seen.length === count) break
  }
  return seen
}

describe('publishing', () => {
  test('the same id twice stores one message', async () => {
    const first = await publish(controller, subjects.in, { n: 1 }, { id: 'twice' })
    expect(await publish(controller, subjects.in, { n: 1 }, { id: 'twice' })).toEqual({
      sequence: first.sequence,
      duplicate: true,
    })
  })

  test('behind somebody else is fenced', async () => {
    const { sequence } = await publish(controller, subjects.in, {}, { id: 'f1' })
    await publish(controller, subjects.in, {}, { id: 'f2', expectedLast: sequence })
    await expect(publish(controller, subjects.in, {}, { id: 'f3', expectedLast: sequence })).rejects.toMatchObject({
      code: 'fenced',
    })
  })

  test('a large value travels compressed and whole', async () => {
    const { in: inbox } = runSubjects({ ...run, uid: 'large' })
    const value = { text: 'ä'.repeat(400_000) }
    await publish(controller, inbox, value, { id: 'large' })
    const messages = (await tail(controller, { stream: 'RUNS', subject: inbox, signal: stop.signal }))[
      Symbol.asyncIterator
    ]()
    expect((await messages.next()).value.value()).toEqual(value)
  })

  test('goes on when the bus is back, and loses nothing that was acknowledged', async () => {
    const { in: inbox } = runSubjects({ ...run, uid: 'restart' })
    const before = await publish(controller, inbox, { n: 1 }, { id: 'before' })
    await nats.kill9()
    const pending = publish(controller, inbox, { n: 2 }, { id: 'during', expectedLast: before.sequence })
    await nats.restart()
    const after = await pending
    const reader = await tail(controller, { stream: 'RUNS', subject: inbox, signal: stop.signal })
    expect(await sequences(reader, 2)).toEqual([before.sequence, after.sequence])
  })

  test('is given up when its signal aborts', async () => {
    const lonely = await nats.connect({ kind: 'controller' })
    await lonely.close()
    await expect(publish(lonely, subjects.in, {}, { id: 'never' })).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('consuming', () => {
  test('gives what was not acknowledged to the next reader, and what was acknowledged to nobody', async () => {
    const other = { ...run, uid: 'consume' }
    await ensureRunConsumers(controller, other)
    const bridge = await nats.connect({ kind: 'bridge', run: other })
    const name = consumerOfRun('consume', 'in')
    for (const id of ['c1', 'c2']) await publish(controller, runSubjects(other).in, { id }, { id })
    const values: unknown[] = []
    for await (const message of consume(bridge, name, stop.signal)) {
      values.push(message.value())
      if (values.length === 1) message.ack()
      else {
        message.retry()
        break
      }
    }
    const again = consume(bridge, name, stop.signal)
    const next = await again.next()
    expect(next.value?.value()).toEqual({ id: 'c2' })
    await again.return(undefined)
  })

  test('goes on after the bus was killed, without a new consumer', async () => {
    const other = { ...run, uid: 'killed' }
    await ensureRunConsumers(controller, other)
    const bridge = await nats.connect({ kind: 'bridge', run: other })
    const messages = consume(bridge, consumerOfRun('killed', 'in'), stop.signal)
    const first = messages.next()
    await publish(controller, runSubjects(other).in, { n: 1 }, { id: 'k1' })
    const received = await first
    expect(received.value?.value()).toEqual({ n: 1 })
    received.value?.ack()
    const second = messages.next()
    await nats.restart()
    await publish(controller, runSubjects(other).in, { n: 2 }, { id: 'k2' })
    const values = [(await second).value?.value()]
    // The acknowledgement itself may have died with the server; then the first comes again.
    if (values[0] !== undefined && JSON.stringify(values[0]) === '{"n":1}')
      values.push((await messages.next()).value?.value())
    expect(values.at(-1)).toEqual({ n: 2 })
    await messages.return(undefined)
  })

  test('the whole of a consumer is read any number of times, whoever died in between', async () => {
    const other = { ...run, uid: 'pending' }
    await ensureRunConsumers(controller, other)
    const name = consumerOfRun('pending', 'journal')
    const bridge = await nats.connect({ kind: 'bridge', run: other })
    expect(await readPending(bridge, name, stop.signal)).toEqual([])
    let last = 0
    for (let n = 1; n <= 150; n++) {
      const options = { id: `p${n}`, expectedLast: last }
      last = (await publish(bridge, runSubjects(other).journal, { n }, options)).sequence
    }
    const expected = Array.from({ length: 150 }, (_, index) => ({ n: index + 1 }))
    for (let time = 0; time < 3; time++) {
      expect((await readPending(bridge, name, stop.signal)).map((message) => message.value())).toEqual(expected)
    }
    // A reader that takes some and dies says nothing about them to the server.
    const dying = consume(bridge, name, stop.signal)
    await dying.next()
    await dying.return(undefined)
    expect((await readPending(bridge, name, stop.signal)).map((message) => message.value())).toEqual(expected)
    await nats.restart()
    expect((await readPending(bridge, name, stop.signal)).map((message) => message.value())).toEqual(expected)
  })
})

describe('a tail', () => {
  test('gives each message once and in order across a killed bus', async () => {
    const { in: inbox } = runSubjects({ ...run, uid: 'tail' })
    const reader = await tail(controller, { stream: 'RUNS', subject: inbox, signal: stop.signal })
    expect(reader.upTo).toBe(0)
    const seen = sequences(reader, 200)
    const stored: number[] = []
    for (let n = 0; n < 200; n++) {
      if (n === 70) await nats.restart()
      stored.push((await publish(controller, inbox, { n }, { id: `t${n}` })).sequence)
    }
    expect(await seen).toEqual(stored)
  })

  test('begins behind the sequence it is given and sees only its own subject', async () => {
    const mine = runSubjects({ ...run, uid: 'mine' })
    const other = runSubjects({ ...run, uid: 'other' })
    const first = await publish(controller, mine.in, {}, { id: 'm1' })
    await publish(controller, other.in, {}, { id: 'o1' })
    const second = await publish(controller, mine.in, {}, { id: 'm2' })
    const options = { stream: 'RUNS', subject: mine.record, signal: stop.signal }
    expect(await sequences(await tail(controller, options), 2)).toEqual([first.sequence, second.sequence])
    expect(await sequences(await tail(controller, { ...options, after: first.sequence }), 1)).toEqual([second.sequence])
  })
})

describe('streams and consumers', () => {
  test('are made once and found again', async () => {
    await ensureStreams(controller)
    await ensureRunConsumers(controller, run)
    await deleteRunConsumers(controller, run)
    await deleteRunConsumers(controller, run)
    await ensureRunConsumers(controller, run)
  })

  test('are those of one cluster: another one is refused them', async () => {
    await ensureStreams(controller, { owner: 'one' })
    await ensureStreams(controller, { owner: 'one' })
    const other = await nats.connect({ kind: 'controller' })
    const refused = { code: 'not_ours', message: expect.stringMatching(/RUNS .*cluster one; this is cluster other\./) }
    await expect(ensureStreams(other, { owner: 'other' })).rejects.toMatchObject(refused)
    await expect(ensureStreams(other, { owner: 'other' })).rejects.toMatchObject(refused)
    await ensureStreams(controller)
    await expect(ensureStreams(other, { owner: 'other' })).rejects.toMatchObject(refused)
  })

  test('of a run begin at its first message, and stay where they began when that is not known any more', async () => {
    const begun = { ...run, uid: 'begun' }
    await publish(controller, runSubjects({ ...run, uid: 'before' }).in, { n: 0 }, { id: 'before' })
    const { sequence } = await publish(controller, runSubjects(begun).in, { n: 1 }, { id: 'begun' })
    const made = async () => {
      const { in: name } = runConsumers('begun')
      return (await jsRequest<{ config: object }>(controller, `CONSUMER.INFO.RUNS.${name}`)).config
    }
    await ensureRunConsumers(controller, begun, sequence)
    const config = await made()
    expect(config).toMatchObject({ deliver_policy: 'by_start_sequence', opt_start_seq: sequence })
    await ensureRunConsumers(controller, begun, sequence)
    await ensureRunConsumers(controller, begun)
    expect(await made()).toEqual(config)
    const bridge = await nats.connect({ kind: 'bridge', run: begun })
    const read = await readPending(bridge, consumerOfRun('begun', 'journal'), stop.signal)
    expect(read.map((message) => message.value())).toEqual([{ n: 1 }])

    // As an earlier version made them.
    const older = { ...run, uid: 'older' }
    await ensureRunConsumers(controller, older)
    await ensureRunConsumers(controller, older, sequence)
    await deleteRunConsumers(controller, begun)
    await deleteRunConsumers(controller, older)
  })

  test('a consumer that the server made other than asked is refused', async () => {
    const { in: inbox, outcome } = runSubjects({ ...run, uid: 'x' })
    const wanted = {
      durable_name: 'mine',
      ack_policy: 'explicit',
      deliver_policy: 'all',
      filter_subject: inbox,
    } as const
    await ensureConsumer(controller, 'RUNS', wanted)
    // nats-server 2.9 drops a list of filters without a word, and such a consumer would read everything.
    const listed = { ...wanted, durable_name: 'listed', filter_subjects: [inbox, outcome] }
    await expect(ensureConsumer(controller, 'RUNS', listed)).rejects.toThrow()
  })

  test('purging a run leaves the other runs alone', async () => {
    const gone = runSubjects({ ...run, uid: 'gone' })
    const kept = runSubjects({ ...run, uid: 'kept' })
    await publish(controller, gone.in, {}, { id: 'g1' })
    const { sequence } = await publish(controller, kept.in, {}, { id: 'g2' })
    await purgeRun(controller, { ...run, uid: 'gone' })
    const options = { stream: 'RUNS', signal: stop.signal }
    expect((await tail(controller, { ...options, subject: gone.record })).upTo).toBe(0)
    expect(await sequences(await tail(controller, { ...options, subject: kept.record }), 1)).toEqual([sequence])
  })
})

describe('the connection', () => {
  test('waits for a bus that starts later', async () => {
    await nats.kill9()
    const given = nats.credentials({ kind: 'controller' })
    const connecting = connectBus({
      url: nats.url,
      credentials: async () => given,
      name: 't',
      signal: stop.signal,
      log,
    })
    await nats.restart()
    expect((await connecting).connected).toBe(true)
  })

  test('outlives its credentials: they are asked for again before they end, and after', async () => {
    const { seed } = nats.credentials({ kind: 'controller' })
    const renewed = vi.fn(async () => {
      const expiresAt = new Date(Date.now() + 3_000)
      const identity = { kind: 'controller' } as const
      const jwt = signBusUser({ keys: nats.keys, userPublicKey: publicKeyOf(seed), name: 't', identity, expiresAt })
      return { jwt, seed, expiresAt }
    })
    const bus = await connectBus({ url: nats.url, credentials: renewed, name: 't', signal: stop.signal, log })
    const lost = new Promise((resolve) => bus.onReconnect(() => resolve(true)))
    expect(await lost).toBe(true)
    expect(renewed.mock.calls.length).toBeGreaterThan(1)
    await publish(bus, subjects.in, {}, { id: 'after expiry' })
  })

  test('credentials that have ended let nobody in, and nobody stays in with them', async () => {
    const ended = nats.credentials({ kind: 'controller' }, -1_000)
    const early = AbortSignal.timeout(500)
    await expect(
      connectBus({ url: nats.url, credentials: async () => ended, name: 't', signal: early, log }),
    ).rejects.toThrow()
    const short = nats.credentials({ kind: 'controller' }, 2_000)
    const bus = await connectBus({ url: nats.url, credentials: async () => short, name: 't', signal: stop.signal, log })
    await expect.poll(() => bus.connected, { timeout: 10_000 }).toBe(false)
  })
})

describe('trading an identity', () => {
  test('sends the token as it is now and a key whose seed stays here, and trades again before the end', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-trade-'))
    const tokenFile = join(folder, 'token')
    const requests: { token: string | undefined; body: string }[] = []
    let now = Date.now()
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      request.on('end', () => {
        requests.push({ token: request.headers.authorization, body })
        const expiresAt = new Date(now + 600_000).toISOString()
        response.end(JSON.stringify({ busJwt: `jwt-${requests.length}`, runToken: 'run', expiresAt }))
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const source = tradeIdentity({ url, tokenFile, now: () => new Date(now) })
      await expect(source.credentials()).rejects.toMatchObject({ code: 'unavailable' })
      await writeFile(tokenFile, 'first\n')
      const [one, same] = await Promise.all([source.credentials(), source.credentials()])
      expect(one).toEqual(same)
      expect(await source.runToken()).toBe('run')
      expect(requests.length).toBe(1)
      await writeFile(tokenFile, 'second\n')
      now += 500_000
      const two = await source.credentials()
      expect(two.jwt).toBe('jwt-2')
      expect(two.seed).toBe(one.seed)
      expect(requests.map((request) => request.token)).toEqual(['Bearer first', 'Bearer second'])
      for (const { body } of requests) {
        expect(JSON.parse(body)).toEqual({ userPublicKey: publicKeyOf(one.seed) })
      }
    } finally {
      server.close()
      await rm(folder, { recursive: true })
    }
  })
})
