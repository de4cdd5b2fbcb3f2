import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bus, ensureStreams } from '#core/bus'
import type { Received } from '#core/channels'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { Strangers } from './strangers.ts'

let nats: TestNats
let bus: Bus
beforeAll(async () => {
  nats = await startNats()
  bus = await nats.connect({ kind: 'controller' })
  await ensureStreams(bus)
})
afterAll(() => nats.close())

const signal = new AbortController().signal
const placeIn = (channel: string) => ({ namespace: 'team', instance: 'helper', channel, chat: 'c1' })
const from = (id: string) => ({ sender: { id, name: id, kind: 'person' } }) as Received
/** As a process that is started anew has it. */
async function strangers(): Promise<Strangers> {
  const known = new Strangers(bus)
  await known.recall(signal)
  return known
}

test('a stranger is told the same code while it is good, and has a few at most over any number of restarts', async () => {
  const codes: (string | undefined)[] = []
  for (let start = 0; start < 5; start++) {
    const known = await strangers()
    expect(known.answered(placeIn('few'), 'U1')).toBe(start > 0)
    const code = await known.codeFor(placeIn('few'), from('U1'))
    expect(await known.codeFor(placeIn('few'), from('U1'))).toBe(code)
    codes.push(code)
  }
  expect(codes.map((code) => code !== undefined)).toEqual([true, true, true, false, false])
  expect(new Set(codes).size).toBe(4)
})

test('a channel has a hundred good codes at most, also after a restart, and no other channel fewer for it', async () => {
  const before = await strangers()
  for (let i = 0; i < 60; i++) expect(await before.codeFor(placeIn('many'), from(`U${i}`))).toBeDefined()
  const after = await strangers()
  const given: (string | undefined)[] = []
  for (let i = 100; i < 160; i++) given.push(await after.codeFor(placeIn('many'), from(`U${i}`)))
  expect(given.filter((code) => code !== undefined)).toHaveLength(40)
  expect(await after.codeFor(placeIn('other'), from('U1'))).toBeDefined()
})

test('a code is told for ten minutes, and then another', async () => {
  let now = 0
  const known = new Strangers(bus, () => now)
  const code = () => known.codeFor(placeIn('late'), from('U1'))
  const first = await code()
  now = 10 * 60_000 - 1
  expect(await code()).toBe(first)
  now += 1
  const second = await code()
  expect(second).toBeDefined()
  expect(second).not.toBe(first)
})
