import { expect, test } from 'vitest'
import type { BusMessage } from '#core/bus'
import { gather } from './gather.ts'

const message = (sequence: number, pending: number) =>
  ({ sequence, pending, bytes: new Uint8Array(1024 * 1024) }) as unknown as BusMessage

async function sequences(source: AsyncIterable<BusMessage>, count: number): Promise<number[][]> {
  const all: number[][] = []
  for await (const together of gather(source)) {
    all.push(together.map(({ sequence }) => sequence))
    if (all.length === count) break
  }
  return all
}

test('what the bus says is still to come is waited for, but not for ever', async () => {
  const never = async function* () {
    yield message(1, 2)
    yield message(2, 1)
    // It is wrong: nothing comes any more.
    await new Promise(() => {})
  }
  expect(await sequences(never(), 1)).toEqual([[1, 2]])
})

test('what is too much for one piece comes in several, in order', async () => {
  const many = async function* () {
    for (let n = 1; n <= 10; n++) yield message(n, 10 - n)
  }
  expect(await sequences(many(), 9)).toEqual([
    [1, 2, 3, 4],
    [5, 6, 7, 8],
    [9, 10],
  ])
})

test('a source that fails says so after what it gave', async () => {
  const failing = async function* () {
    yield message(1, 1)
    throw new Error('gone')
  }
  const seen: number[][] = []
  const reading = async () => {
    for await (const together of gather(failing())) seen.push(together.map(({ sequence }) => sequence))
  }
  await expect(reading()).rejects.toThrow('gone')
  expect(seen).toEqual([[1]])
})
