import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { RunEvent } from '#core/journal'
import { heldBytes } from '../../test/support/heap.ts'
import { deliver } from './delivery.ts'

test('a stream keeps nothing of the events that its client has taken, however many they are', async () => {
  let [before, after, sent] = [0, 0, 0]
  const end = await deliver({
    events: async function* () {
      for (let i = 0; i < 100_000; i++) {
        if (i === 1_000) before = heldBytes()
        // As from a bus: now and then nothing is there for a moment.
        if (i % 1_000 === 0) await turn()
        const data = { step: 1, source: 'model', offset: i, text: 'x' } as const
        yield { id: `1.1.${i}`, type: 'text', data } satisfies RunEvent
      }
      after = heldBytes()
    },
    sink: { send: async () => void sent++, ping: () => {}, left: new AbortController().signal },
    review: async () => undefined,
    stopping: new AbortController().signal,
    ...{ pingMs: 60_000, stallMs: 60_000, reviewMs: 60_000 },
  })
  expect([end, sent]).toEqual(['stopping', 100_000])
  // What ends the stream was raced against for each event, which held 300 bytes of it: 30 MB here.
  expect(after - before).toBeLessThan(5_000_000)
})
