import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import { isClawError } from '#core/errors'
import type { RunAddress } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import {
  type EntryParts,
  followOutcomes,
  type InMessage,
  type Outcome,
  openJournal,
  parseCursor,
  publishLive,
  publishUsage,
  type RunEvent,
  RunFeeds,
  readOutcome,
  readRun,
  receiveIn,
  sendIn,
  writeOutcome,
} from './index.ts'

let nats: TestNats
let controller: Bus
let apiserver: Bus
let gateway: Bus
beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  apiserver = await nats.connect({ kind: 'apiserver' })
  gateway = await nats.connect({ kind: 'gateway' })
})
afterAll(() => nats.close())

let count = 0
let run: RunAddress
let stop: AbortController
beforeEach(async () => {
  run = { namespace: 'team', instance: 'bot', uid: `run-${++count}` }
  stop = new AbortController()
  await ensureRunConsumers(controller, run)
})
afterEach(() => stop.abort())

const at = '2026-01-01T00:00:00.000Z'
const note = (message: string): EntryParts => ({ kind: 'noted', code: 'test', message })
const called = (step: number): EntryParts => ({
  kind: 'called',
  call: { id: `model-${step}`, tool: 'model', inputHash: '0'.repeat(64), step },
  verdict: { action: 'allow', reason: 'models' },
})
const answered = (step: number, text: string): EntryParts => ({
  kind: 'answered',
  callId: `model-${step}`,
  tool: 'model',
  answer: { ok: true, output: { text } },
  durationMs: 1,
})
const outcome = (over: Partial<Outcome> = {}): Outcome => ({
  run: run.uid,
  attempt: 1,
  at,
  writer: 'bridge',
  phase: 'Succeeded',
  reason: 'Completed',
  usage: { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 },
  ...over,
})
const cancel: InMessage = { type: 'cancel', reason: 'asked', graceSeconds: 5 }
const task = (text: string): InMessage => {
  const model = { provider: 'demo', name: 'demo' }
  const limits = { timeoutSeconds: 60, maxSteps: 4, maxTokens: 1000 }
  return {
    type: 'task',
    task: {
      version: 1,
      run: 'hello',
      uid: run.uid,
      namespace: run.namespace,
      instance: run.instance,
      agent: 'default',
      attempt: 1,
      task: text,
      model,
      history: [],
      tools: [],
      skills: [],
      files: [],
      limits,
    },
    effective: {
      agent: 'default',
      model,
      image: 'k8sclaw/agent:dev',
      policy: { name: '', generation: 0 },
      toolGating: { defaultAction: 'deny', rules: [] },
      featureGates: {},
      limits,
      resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } },
      subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 },
      isolation: 'none',
    },
  }
}

const bridgeOf = (address: RunAddress) => nats.connect({ kind: 'bridge', run: address })
const open = (bus: Bus) => openJournal(bus, run, 1, { signal: stop.signal })

describe('a journal', () => {
  test('is read to its end by each restarted bridge, with inbox and outcome', async () => {
    await sendIn(controller, run, task('do it'))
    const bridge = await bridgeOf(run)
    for (let restart = 0; restart < 4; restart++) {
      const journal = await open(bridge)
      expect(journal.entries.map((entry) => entry.sequence)).toEqual(
        Array.from({ length: restart * 2 }, (_, i) => i + 1),
      )
      expect(journal.inbox).toEqual([task('do it')])
      expect(journal.outcome).toBeUndefined()
      await journal.append(note(`first of ${restart}`))
      await journal.append(note(`second of ${restart}`))
    }
    await writeOutcome(bridge, run, outcome())
    expect((await open(bridge)).outcome).toEqual(outcome())
  })

  test('keeps the order of concurrent appends, without gaps', async () => {
    const journal = await open(await bridgeOf(run))
    const stored = await Promise.all(Array.from({ length: 50 }, (_, n) => journal.append(note(String(n)))))
    expect(stored.map((entry) => entry.sequence)).toEqual(Array.from({ length: 50 }, (_, n) => n + 1))
    const { entries } = await readRun(apiserver, run, stop.signal)
    expect(entries).toEqual(stored)
  })

  test('is read without what agents fill, by whoever only counts', async () => {
    const journal = await open(await bridgeOf(run))
    const call = { id: 'c', tool: 'exec', input: { script: 'x'.repeat(100_000) }, inputHash: '0'.repeat(64) }
    await journal.append({ kind: 'called', call, verdict: { action: 'allow', reason: 'test' } })
    await journal.append(answered(1, 'x'.repeat(100_000)))
    const took = { ok: true, output: { number: 1 } } as const
    await journal.append({ kind: 'answered', callId: 't', tool: 'take_followup', answer: took, durationMs: 1 })
    await journal.append(note('kept'))
    const { entries } = await readRun(apiserver, run, stop.signal, { contents: false })
    expect(entries.map((entry) => entry.kind)).toEqual(['called', 'answered', 'answered', 'noted'])
    expect(JSON.stringify(entries).length).toBeLessThan(2_000)
    expect(entries[2]).toMatchObject({ answer: took })
  })

  test('has one writer: a second bridge fences the first, for good', async () => {
    const bridge = await bridgeOf(run)
    const first = await open(bridge)
    await first.append(note('a'))
    const second = await open(await bridgeOf(run))
    await second.append(note('b'))
    await expect(first.append(note('c'))).rejects.toMatchObject({ code: 'fenced' })
    await expect(first.append(note('d'))).rejects.toMatchObject({ code: 'fenced' })
    await second.append(note('e'))
    const { entries } = await readRun(apiserver, run, stop.signal)
    expect(entries.map((entry) => entry.kind === 'noted' && entry.message)).toEqual(['a', 'b', 'e'])
  })

  test('refuses an entry that no reader would understand, and goes on', async () => {
    const journal = await open(await bridgeOf(run))
    await expect(journal.append(note('x'.repeat(5_000)))).rejects.toMatchObject({ code: 'invalid', field: 'message' })
    expect((await journal.append(note('fine'))).sequence).toBe(1)
  })

  test('goes on over a killed bus and loses nothing', async () => {
    const journal = await open(await bridgeOf(run))
    await journal.append(note('before'))
    await nats.kill9()
    const during = journal.append(note('during'))
    await nats.restart()
    await during
    await journal.append(note('after'))
    const { entries } = await readRun(apiserver, run, stop.signal)
    expect(entries.map((entry) => entry.kind === 'noted' && entry.message)).toEqual(['before', 'during', 'after'])
  })

  test('holds large answers', async () => {
    const journal = await open(await bridgeOf(run))
    const output = { text: '€'.repeat(256 * 1024) }
    await journal.append({ kind: 'answered', callId: 'c', tool: 'exec', answer: { ok: true, output }, durationMs: 1 })
    const [entry] = (await open(await bridgeOf(run))).entries
    expect(entry).toMatchObject({ answer: { output } })
  })
})

describe('the outcome', () => {
  test('is written exactly once, whoever races for it', async () => {
    const writers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? Promise.resolve(controller) : bridgeOf(run))),
    )
    const results = await Promise.allSettled(
      writers.map((bus, n) => writeOutcome(bus, run, outcome({ reason: `Writer${n}` }))),
    )
    const won = results.flatMap((result, n) => (result.status === 'fulfilled' ? [n] : []))
    expect(won.length).toBe(1)
    for (const result of results) {
      if (result.status === 'rejected') expect(isClawError(result.reason, 'fenced')).toBe(true)
    }
    expect((await readRun(apiserver, run, stop.signal)).outcome?.reason).toBe(`Writer${won[0]}`)
  })

  test('hides the entries that somebody wrote above it', async () => {
    const bridge = await bridgeOf(run)
    const journal = await open(bridge)
    await journal.append(note('below'))
    await writeOutcome(controller, run, outcome({ writer: 'controller', phase: 'Failed', reason: 'AgentDied' }))
    await journal.append(note('above'))
    const record = await readRun(apiserver, run, stop.signal)
    expect(record.entries.length).toBe(1)
    expect(record.outcome?.reason).toBe('AgentDied')
    expect((await open(bridge)).entries.length).toBe(1)
  })

  test('reaches its follower after a failure, and only the unhandled ones after a restart', async () => {
    const other = { ...run, uid: `${run.uid}-b` }
    const durable = `follow-${run.uid}`
    const first = new AbortController()
    const handled: string[] = []
    let failures = 1
    const following = followOutcomes(controller, { durable, signal: first.signal }, async ({ uid, namespace }) => {
      if (uid === run.uid && failures-- > 0) throw new Error('not now')
      if (uid.startsWith(run.uid)) handled.push(`${namespace}/${uid}`)
    })
    await writeOutcome(controller, run, outcome())
    await expect.poll(() => handled, { timeout: 10_000 }).toEqual([`team/${run.uid}`])
    first.abort()
    await following
    await writeOutcome(controller, other, { ...outcome(), run: other.uid })
    const again: string[] = []
    const second = followOutcomes(controller, { durable, signal: stop.signal }, async ({ uid }) => {
      again.push(uid)
    })
    await expect.poll(() => again, { timeout: 10_000 }).toEqual([other.uid])
    stop.abort()
    await second
  })

  test('reaches its follower also after the bus came back without its store', async () => {
    const durable = `lost-${run.uid}`
    const seen: string[] = []
    const following = followOutcomes(controller, { durable, signal: stop.signal }, async ({ uid }) => {
      seen.push(uid)
    })
    await writeOutcome(controller, run, outcome())
    await expect.poll(() => seen, { timeout: 10_000 }).toContain(run.uid)
    await nats.restart({ loseStore: true })
    const later = { ...run, uid: `${run.uid}-later` }
    await writeOutcome(controller, later, { ...outcome(), run: later.uid })
    await expect.poll(() => seen, { timeout: 30_000 }).toContain(later.uid)
    stop.abort()
    await following
  }, 60_000)
})

describe('the inbox', () => {
  test('holds one task and one cancel, however often they are sent', async () => {
    for (const text of ['one', 'two']) await sendIn(controller, run, task(text))
    for (let n = 0; n < 2; n++) await sendIn(controller, run, cancel)
    expect((await readRun(apiserver, run, stop.signal)).inbox).toEqual([task('one'), cancel])
  })

  test('gives a message again until it is acknowledged, also to the bridge after the next', async () => {
    await sendIn(controller, run, task('again'))
    const received = async () => {
      const messages = receiveIn(await bridgeOf(run), run, stop.signal)
      const { value } = await messages.next()
      return { value, end: () => messages.return(undefined) }
    }
    const killed = await received()
    await killed.end()
    const second = await received()
    expect(second.value?.message).toEqual(task('again'))
    second.value?.ack()
    await second.end()
    await sendIn(controller, run, cancel)
    const third = await received()
    expect(third.value?.message).toEqual(cancel)
    await third.end()
  })
})

describe('following a run', () => {
  const words = (events: RunEvent[]) =>
    events.map((e) => (e.type === 'text' ? `${e.data.step}:${e.data.text}` : e.type))
  const piece = (step: number, offset: number, text: string) =>
    publishLive(gateway, run, { attempt: 1, step, offset, kind: 'text', source: 'model', text })

  async function collect(after?: string): Promise<RunEvent[]> {
    const events: RunEvent[] = []
    const options = { signal: stop.signal, ...(after !== undefined && { after: parseCursor(after) }) }
    for await (const event of new RunFeeds(apiserver).follow(run, options)) events.push(event)
    return events
  }

  test('tells calls, text as it streams, answers and the outcome, and ends', async () => {
    const bridge = await bridgeOf(run)
    const journal = await open(bridge)
    const events: RunEvent[] = []
    const following = (async () => {
      for await (const event of new RunFeeds(apiserver).follow(run, { signal: stop.signal })) events.push(event)
    })()
    await journal.append(called(1))
    piece(1, 0, 'Hel')
    await expect.poll(() => words(events)).toEqual(['called', '1:Hel'])
    piece(1, 3, 'lo')
    await expect.poll(() => words(events)).toEqual(['called', '1:Hel', '1:lo'])
    await journal.append(answered(1, 'Hello!'))
    await writeOutcome(bridge, run, outcome())
    await following
    expect(words(events)).toEqual(['called', '1:Hel', '1:lo', '1:!', 'answered', 'outcome'])
  })

  test('resumes behind any event, and tells the outcome once', async () => {
    const bridge = await bridgeOf(run)
    const journal = await open(bridge)
    await journal.append(called(1))
    for (const [offset, text] of [
      [0, 'one '],
      [4, 'two '],
      [8, 'three'],
    ] as const)
      piece(1, offset, text)
    await gateway.nats.flush()
    await journal.append(answered(1, 'one two three'))
    await writeOutcome(bridge, run, outcome())
    const all = await collect()
    expect(words(all)).toEqual(['called', '1:one ', '1:two ', '1:three', 'answered', 'outcome'])
    for (const [index, event] of all.entries())
      expect(words(await collect(event.id))).toEqual(words(all).slice(index + 1))
  })

  test('tells the recorded text where the previews are gone, as after a killed bus', async () => {
    const bridge = await bridgeOf(run)
    const journal = await open(bridge)
    await journal.append(called(1))
    piece(1, 0, 'lost with the memory of the bus')
    await gateway.nats.flush()
    await nats.restart()
    await journal.append(answered(1, 'lost with the memory of the bus, recorded'))
    await writeOutcome(bridge, run, outcome())
    // The reader's own connection may still be on its way back.
    await vi.waitFor(() => readOutcome(apiserver, run), { timeout: 15_000 })
    expect(words(await collect())).toEqual([
      'called',
      '1:lost with the memory of the bus, recorded',
      'answered',
      'outcome',
    ])
  })

  test('sees the outcome once although the bus is killed while it is followed', async () => {
    const bridge = await bridgeOf(run)
    const journal = await open(bridge)
    const following = collect()
    await journal.append(called(1))
    await nats.restart()
    await journal.append(answered(1, 'done'))
    await nats.restart()
    await writeOutcome(bridge, run, outcome())
    expect(words(await following)).toEqual(['called', '1:done', 'answered', 'outcome'])
  })

  test('sees nothing of another run', async () => {
    const other = { ...run, uid: `${run.uid}-other` }
    await ensureRunConsumers(controller, other)
    await writeOutcome(controller, other, { ...outcome(), run: other.uid })
    const following = collect()
    await writeOutcome(controller, run, outcome({ reason: 'Mine' }))
    expect(await following).toMatchObject([{ type: 'outcome', data: { reason: 'Mine' } }])
  })

  test('ends when it is told to', async () => {
    const following = collect()
    stop.abort()
    expect(await following).toEqual([])
  })
})

test('the usage of one model request is stored once', async () => {
  const usage = { run: run.uid, attempt: 1, step: 1, at, provider: 'demo', model: 'demo', status: 200 }
  const stored = async () =>
    (await controller.nats.request('$JS.API.STREAM.INFO.USAGE', '')).json<{ state: { messages: number } }>().state
      .messages
  const before = await stored()
  for (const id of ['a', 'a', 'b']) await publishUsage(gateway, run, usage, { id })
  expect(await stored()).toBe(before + 2)
})
