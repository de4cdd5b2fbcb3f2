import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { openJournal, parseCursor, publishLive, type RunEvent, RunFeeds, writeOutcome } from './index.ts'

let nats: TestNats
let controller: Bus
let apiserver: Bus
let gateway: Bus
let run: RunAddress
let stop: AbortController
let runs = 0
beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  apiserver = await nats.connect({ kind: 'apiserver' })
  gateway = await nats.connect({ kind: 'gateway' })
  await ensureStreams(controller)
})
afterAll(() => nats?.close())
beforeEach(async () => {
  stop = new AbortController()
  run = { namespace: 'red', instance: 'bot', uid: `uid-${++runs}` }
  await ensureRunConsumers(controller, run)
})
afterEach(() => stop.abort())

/** A run that goes step by step: each is a call of the model, its text in pieces, and its answer. */
async function begin() {
  const bridge = await nats.connect({ kind: 'bridge', run })
  const journal = await openJournal(bridge, run, 1, { signal: stop.signal })
  const pieces = ['The ', 'quick ', 'brown ', 'fox ', 'jumps.']
  return {
    async step(step: number) {
      const call = { id: `model-${step}`, tool: 'model', inputHash: '0'.repeat(64), step }
      await journal.append({ kind: 'called', call, verdict: { action: 'allow', reason: 'models' } })
      let offset = 0
      for (const text of pieces) {
        publishLive(gateway, run, { attempt: 1, step, offset, kind: 'text', source: 'model', text })
        offset += text.length
        await sleep(2)
      }
      await gateway.nats.flush()
      const answer = { ok: true, output: { text: pieces.join('') } } as const
      await journal.append({ kind: 'answered', callId: `model-${step}`, tool: 'model', answer, durationMs: 1 })
    },
    async end() {
      const usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }
      const at = '2026-01-01T00:00:00.000Z'
      const ending = { phase: 'Succeeded', reason: 'Completed', writer: 'bridge' } as const
      await writeOutcome(bridge, run, { run: run.uid, attempt: 1, at, ...ending, usage })
    },
  }
}

async function read(feeds: RunFeeds, { after, everyMs = 0 }: { after?: string; everyMs?: number } = {}) {
  const events: RunEvent[] = []
  const from = after === undefined ? undefined : parseCursor(after)
  for await (const event of feeds.follow(run, { signal: stop.signal, after: from })) {
    events.push(event)
    if (everyMs > 0) await sleep(everyMs)
  }
  return events
}

/** What a reader knows at the end, however the text was cut into pieces. */
function told(events: RunEvent[]) {
  const texts = new Map<number, string>()
  for (const event of events) {
    if (event.type !== 'text') continue
    const { step, offset, text } = event.data
    const before = texts.get(step) ?? ''
    expect(offset, 'neither gap nor repetition').toBe(before.length)
    texts.set(step, before + text)
  }
  const entries = events.filter(({ type }) => type !== 'text').map(({ type, id }) => `${type} ${id.split('.')[0]}`)
  return { entries, texts: [...texts.values()] }
}

async function consumers(stream: string): Promise<number> {
  const info = await controller.request(`$JS.API.STREAM.INFO.${stream}`, '')
  return info.json<{ state: { consumer_count: number } }>().state.consumer_count
}

test('however many follow a run, the bus is read once, and no more when all have left', async () => {
  const feeds = new RunFeeds(apiserver)
  const speaker = await begin()
  const before = [await consumers('RUNS'), await consumers('LIVE')]
  const readers = Array.from({ length: 20 }, () => read(feeds))
  await speaker.step(1)
  await expect.poll(async () => [await consumers('RUNS'), await consumers('LIVE')]).toEqual(before.map((n) => n + 1))
  await speaker.end()
  const [first, ...others] = await Promise.all(readers)
  for (const other of others) expect(other).toEqual(first)
  expect(told(first ?? []).texts).toEqual(['The quick brown fox jumps.'])
})

test.each([
  ['all of it is held in memory', 1024 * 1024],
  ['only some of it is held', 2_000],
  ['nothing but the last message is held', 1],
])(
  'who comes late, who is slow and who comes back miss nothing and get nothing twice where %s',
  async (_, maxBytes) => {
    const feeds = new RunFeeds(apiserver, { maxBytes })
    const speaker = await begin()
    const early = read(feeds)
    const slow = read(feeds, { everyMs: 15 })
    await speaker.step(1)
    await speaker.step(2)
    const late = read(feeds)
    await speaker.step(3)
    await speaker.end()
    const whole = told(await early)
    expect(whole.texts).toEqual(Array(3).fill('The quick brown fox jumps.'))
    expect(whole.entries).toHaveLength(7)
    expect(told(await slow)).toEqual(whole)
    expect(told(await late)).toEqual(whole)
    const events = await early
    // Beside one who reads slowly from the beginning, so that there is a feed to join.
    const beside = read(feeds, { everyMs: 5 })
    for (const [at, { id }] of events.entries()) {
      const rest = await read(feeds, { after: id })
      expect(told([...events.slice(0, at + 1), ...rest])).toEqual(whole)
    }
    expect(told(await beside)).toEqual(whole)
  },
)

test('one who leaves takes nothing from the others, the first of them included', async () => {
  const feeds = new RunFeeds(apiserver, { maxBytes: 1 })
  const speaker = await begin()
  const leaving = new AbortController()
  const first = (async () => {
    for await (const _ of feeds.follow(run, { signal: leaving.signal })) leaving.abort()
  })()
  const stays = read(feeds)
  await speaker.step(1)
  await first
  await speaker.step(2)
  await speaker.end()
  expect(told(await stays).texts).toEqual(Array(2).fill('The quick brown fox jumps.'))
})
