import { afterAll, beforeAll, expect, test } from 'vitest'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { type Bus, type BusMessage, consumeOwn, ensureStreams, publish } from './index.ts'

let nats: TestNats
let bus: Bus
beforeAll(async () => {
  nats = await startNats()
  bus = await nats.connect({ kind: 'controller' })
  await ensureStreams(bus)
})
afterAll(() => nats.close())

const config = {
  durable_name: 'reader',
  filter_subject: 'k8sclaw.*.*.run.*.outcome',
  ack_policy: 'explicit',
  deliver_policy: 'all',
  max_deliver: -1,
  ack_wait: 3_600_000_000_000,
} as const

/** Reads so many as a process does that is killed then, with all it did not acknowledge. */
async function readSome(count: number, each: (message: BusMessage, index: number) => void): Promise<number[]> {
  const stop = new AbortController()
  const own = await nats.connect({ kind: 'controller' })
  const read: number[] = []
  for await (const message of consumeOwn(own, 'RUNS', config, stop.signal)) {
    each(message, read.length)
    read.push(message.sequence)
    if (read.length === count) break
  }
  await own.nats.flush()
  stop.abort()
  await own.close()
  return read
}

test('who begins to read has at once what an earlier reader held, once, and not what that was done with', async () => {
  const stored: number[] = []
  for (let i = 0; i < 6; i++) {
    const { sequence } = await publish(bus, `k8sclaw.team.bot.run.run-${i}.outcome`, {}, { id: `take-${i}` })
    stored.push(sequence)
  }
  const first = await readSome(4, (message, i) => {
    if (i === 1) message.ack()
  })
  expect(first).toEqual(stored.slice(0, 4))
  // An hour would have to pass otherwise. What comes again does so in its order, and again for the one after this one.
  for (let reader = 0; reader < 2; reader++) {
    const again = await readSome(5, () => {})
    expect(again.toSorted((a, b) => a - b)).toEqual(stored.filter((_, i) => i !== 1))
  }
})
