import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatCursor, parseCursor, startCursor } from './cursor.ts'
import type { LiveMessage } from './live-message.ts'
import type { AnsweredEntry, CalledEntry, Outcome } from './messages.ts'
import { Projection, type RunEvent } from './projection.ts'

const at = '2026-01-01T00:00:00.000Z'
const stamp = { run: 'u', attempt: 1, sequence: 1, at }
const hash = 'a'.repeat(64)

function called(step: number): CalledEntry {
  const verdict = { action: 'allow', reason: 'models' } as const
  return { kind: 'called', ...stamp, call: { id: `model-${step}`, tool: 'model', inputHash: hash, step }, verdict }
}
function answered(step: number, text?: string): AnsweredEntry {
  const answer = { ok: true, output: text === undefined ? {} : { text } } as const
  return { kind: 'answered', ...stamp, callId: `model-${step}`, tool: 'model', answer, durationMs: 1 }
}
function live(step: number, offset: number, text: string, source: LiveMessage['source'] = 'model'): LiveMessage {
  return { attempt: 1, step, offset, kind: 'text', source, text }
}
const outcome: Outcome = {
  run: 'u',
  attempt: 1,
  at,
  writer: 'bridge',
  phase: 'Succeeded',
  reason: 'Completed',
  usage: { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 },
}

const words = (events: RunEvent[]) => events.map((e) => (e.type === 'text' ? `${e.data.step}:${e.data.text}` : e.type))

describe('the events of a run', () => {
  test('text of a step waits until its call is reported', () => {
    const events = new Projection(startCursor)
    expect(words(events.live(live(1, 0, 'Hel')))).toEqual([])
    expect(words(events.recorded(5, called(1)))).toEqual(['called', '1:Hel'])
    expect(words(events.live(live(1, 3, 'lo')))).toEqual(['1:lo'])
  })

  test('a recorded answer brings the text that is missing, and not what was given', () => {
    const events = new Projection(startCursor)
    events.recorded(1, called(1))
    events.live(live(1, 0, 'Hel'))
    expect(words(events.live(live(1, 5, ' world')))).toEqual([])
    expect(words(events.recorded(2, answered(1, 'Hello world')))).toEqual(['1:lo world', 'answered'])
    expect(words(events.live(live(1, 0, 'Hello world')))).toEqual([])
  })

  test('an answer without text lets go what waited for missing pieces', () => {
    const events = new Projection(startCursor)
    events.recorded(1, called(1))
    events.live(live(1, 0, 'a'))
    events.live(live(1, 5, 'b'))
    expect(words(events.recorded(2, answered(1)))).toEqual(['1:b', 'answered'])
  })

  test('the outcome is preceded by everything that still waited', () => {
    const events = new Projection(startCursor)
    events.live(live(2, 0, 'early'))
    expect(words(events.ended(9, outcome))).toEqual(['2:early', 'outcome'])
  })

  test('text that the agent composed is told apart from the text of the model, and resumed apart', () => {
    const first = new Projection(startCursor)
    const seen = [
      first.recorded(1, called(1)),
      first.live(live(1, 0, 'model')),
      first.live(live(1, 0, 'agent', 'agent')),
    ].flat()
    const last = seen.at(-1)
    expect(last).toMatchObject({ id: '1.1.5.5', data: { source: 'agent', offset: 0, text: 'agent' } })
    const second = new Projection(parseCursor(last?.id ?? ''))
    expect(second.live(live(1, 0, 'model'))).toEqual([])
    expect(second.live(live(1, 0, 'agent', 'agent'))).toEqual([])
    expect(words(second.live(live(1, 5, '!', 'agent')))).toEqual(['1:!'])
  })

  test('what the bridge noted is a status with its code', () => {
    const noted = { kind: 'noted', ...stamp, code: 'oversize', message: 'too big' } as const
    expect(new Projection(startCursor).recorded(3, noted)).toEqual([
      { id: '3.0.0', type: 'status', data: { step: 0, source: 'bridge', text: 'too big', code: 'oversize' } },
    ])
  })
})

/** A run of some steps: its texts, how they were cut into pieces, and in which order the two streams arrived. */
const history = fc.record({
  texts: fc.array(fc.array(fc.string({ minLength: 1, maxLength: 6 }), { maxLength: 5 }), {
    minLength: 1,
    maxLength: 4,
  }),
  interleaving: fc.infiniteStream(fc.boolean()),
  lost: fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
  cut: fc.nat(60),
})

describe('whatever order the streams arrive in, and wherever a reader breaks off', () => {
  test('each step is told completely and once, in order, before its answer', () => {
    fc.assert(
      fc.property(history, ({ texts, interleaving, lost, cut }) => {
        const first = play(new Projection(startCursor), 0, texts, interleaving, lost)
        expect(told(first)).toEqual(texts.map((pieces) => pieces.join('')))
        expect(first.filter((event) => event.type === 'outcome').length).toBe(1)
        const at = Math.min(cut, first.length - 1)
        const from = parseCursor(first[at]?.id ?? '')
        const rest = play(new Projection(from), from.sequence, texts, interleaving, lost)
        const both = [...first.slice(0, at + 1), ...(at === first.length - 1 ? [] : rest)]
        expect(told(both)).toEqual(texts.map((pieces) => pieces.join('')))
        const records = (events: RunEvent[]) => events.filter((event) => event.type !== 'text').map((event) => event.id)
        expect(records(both).map((id) => parseCursor(id).sequence)).toEqual(
          records(first).map((id) => parseCursor(id).sequence),
        )
      }),
    )
  })
})

function told(events: RunEvent[]): string[] {
  const texts: string[] = []
  const done = new Set<number>()
  for (const event of events) {
    if (event.type === 'called' && event.data.call.step) texts[event.data.call.step - 1] = ''
    if (event.type === 'answered') done.add(Number(event.data.callId.slice('model-'.length)))
    if (event.type !== 'text') continue
    const { step, offset, text } = event.data
    expect(done.has(step)).toBe(false)
    expect(texts[step - 1]?.length).toBe(offset)
    texts[step - 1] += text
  }
  return texts
}

function play(
  projection: Projection,
  after: number,
  texts: string[][],
  interleaving: fc.Stream<boolean>,
  lost: fc.Stream<number>,
): RunEvent[] {
  const records: ((p: Projection) => RunEvent[])[] = []
  const pieces: LiveMessage[] = []
  let sequence = 0
  const record = (event: (s: number) => (p: Projection) => RunEvent[]) => {
    sequence++
    if (sequence > after) records.push(event(sequence))
  }
  const losses = lost[Symbol.iterator]()
  texts.forEach((cuts, index) => {
    const step = index + 1
    record((s) => (p) => p.recorded(s, called(step)))
    let offset = 0
    for (const text of cuts) {
      if (losses.next().value !== 0) pieces.push(live(step, offset, text))
      offset += text.length
    }
    record((s) => (p) => p.recorded(s, answered(step, cuts.join(''))))
  })
  record((s) => (p) => p.ended(s, outcome))
  const events: RunEvent[] = []
  const order = interleaving[Symbol.iterator]()
  while (records.length > 0) {
    const piece = order.next().value ? pieces.shift() : undefined
    events.push(...(piece ? projection.live(piece) : (records.shift()?.(projection) ?? [])))
  }
  return events
}

test('a cursor reads as it was written, and nothing else does', () => {
  const part = fc.nat(999_999_999)
  fc.assert(
    fc.property(part, part, part, part, (sequence, step, offset, agentOffset) => {
      const cursor = { sequence, step, offset, agentOffset }
      expect(parseCursor(formatCursor(cursor))).toEqual(cursor)
    }),
  )
  for (const bad of ['', '1', '1.2', '1.2.3.4.5', '-1.0.0', '1.0.x', '1e3.0.0', ' 1.0.0', '9'.repeat(40)]) {
    expect(() => parseCursor(bad)).toThrow('after')
  }
})
