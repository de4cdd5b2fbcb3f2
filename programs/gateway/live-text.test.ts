import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LiveMessage } from '#core/journal'
import type { BusPort } from './bus-port.ts'
import { LiveText } from './live-text.ts'

const run = { namespace: 'tenant-a', instance: 'helper', uid: 'uid-1' }

/** A bus whose every publish waits until the test lets it end. */
class SlowBus implements BusPort {
  readonly told: { message: LiveMessage; id: string; end: (error?: Error) => void }[] = []
  live(_: unknown, message: LiveMessage, { id }: { id: string }) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.told.push({ message, id, end: (error) => (error ? reject(error) : resolve()) })
    return promise
  }
  async usage() {}
  get texts() {
    return this.told.map((t) => t.message.text)
  }
}

const start = (bus: BusPort) => new LiveText({ bus, run, attempt: 1, step: 3, id: 'call' })

describe('the text of a reply', () => {
  it('travels at once, and together while the bus is busy', async () => {
    const bus = new SlowBus()
    const live = start(bus)
    live.push('one ')
    expect(bus.texts).toEqual(['one '])
    for (const text of ['two ', '', 'three ', 'four']) live.push(text)
    expect(bus.texts).toEqual(['one '])
    bus.told[0]?.end()
    await expect.poll(() => bus.texts).toEqual(['one ', 'two three four'])
    const ended = live.end()
    bus.told[1]?.end()
    await ended
    expect(bus.told.map(({ message, id }) => [message.offset, id])).toEqual([
      [0, 'call/0'],
      [4, 'call/1'],
    ])
  })

  it('goes on with the right offset after a piece that the bus did not take', async () => {
    const bus = new SlowBus()
    const live = start(bus)
    live.push('lost')
    live.push('kept')
    bus.told[0]?.end(new Error('away'))
    await expect.poll(() => bus.told[1]?.message).toMatchObject({ offset: 4, text: 'kept' })
    bus.told[1]?.end()
    await live.end()
    live.push('later')
    await expect.poll(() => bus.told[2]?.message).toMatchObject({ offset: 8, text: 'later' })
  })

  it('is dropped when it has ended and the bus is away', async () => {
    const bus = new SlowBus()
    const live = start(bus)
    live.push('a')
    live.push('b'.repeat(100_000))
    const ended = live.end()
    bus.told[0]?.end(new Error('away'))
    await ended
    expect(bus.texts).toEqual(['a'])
  })

  it('does not grow without bound while the bus is away', async () => {
    const bus = new SlowBus()
    const live = start(bus)
    live.push('x')
    for (let i = 0; i < 40; i++) live.push('y'.repeat(50_000))
    bus.told[0]?.end()
    await expect.poll(() => bus.told.length).toBe(2)
    expect(bus.told[1]?.message.offset).toBe(1 + 2_000_000 - 1_048_576)
  })

  it('is whole and in order, whatever the pieces, and no message cuts a character', async () => {
    const pieces = fc.array(
      fc.oneof(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.constant('😀'.repeat(20_001))),
      { maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(pieces, async (texts) => {
        const messages: LiveMessage[] = []
        const live = start({ live: async (_, message) => void messages.push(message), usage: async () => {} })
        for (const text of texts) {
          live.push(text)
          if (text.length % 2) await Promise.resolve()
        }
        await live.end()
        expect(messages.map((m) => m.text).join('')).toBe(texts.join(''))
        let offset = 0
        for (const message of messages) {
          expect(message.offset).toBe(offset)
          expect(message.text.isWellFormed()).toBe(true)
          offset += message.text.length
        }
      }),
      { numRuns: 50 },
    )
  })
})
