import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Received } from '#core/channels'
import { type AgentRun, maxTaskLength } from '#core/kinds'
import { fitting, type Place, placeKey, placeOfKey, sessionKeyOf, turnOf, turnRun } from './turn.ts'

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/)
const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 128 }).filter((text) => text.length <= 128)
const anyPlace: fc.Arbitrary<Place> = fc.record(
  { namespace: label, instance: label, channel: label, chat: id, thread: id },
  { requiredKeys: ['namespace', 'instance', 'channel', 'chat'] },
)
const anySaid = fc.record({
  message: fc.record({
    id,
    at: fc.constant('2026-01-01T00:00:00Z'),
    chat: fc.record({ id, kind: fc.constantFrom('direct' as const, 'group' as const) }),
    sender: fc.record({
      id,
      name: fc.string({ unit: 'binary', maxLength: 256 }),
      kind: fc.constant('person' as const),
    }),
    text: fc.string(),
    mentioned: fc.boolean(),
    mayCommand: fc.boolean(),
    attachments: fc.constant([]),
  }) satisfies fc.Arbitrary<Received>,
  text: fc.string({ unit: 'binary', minLength: 1 }),
  sequence: fc.nat(),
})
const turns = fc.array(anySaid, { minLength: 1, maxLength: 60 })
const since = fc.option(fc.stringMatching(/^[0-9a-f]{12}$/), { nil: undefined })

describe('whatever services use as ids', () => {
  test('a place is found again by its key', () => {
    fc.assert(
      fc.property(anyPlace, (place) => {
        expect(placeOfKey(placeKey(place))).toEqual({ thread: undefined, ...place })
      }),
    )
  })

  test('two places never share a session, and no place shares one of before it began anew', () => {
    fc.assert(
      fc.property(anyPlace, anyPlace, since, since, (a, b, sinceA, sinceB) => {
        const same = a.channel === b.channel && a.chat === b.chat && a.thread === b.thread && sinceA === sinceB
        expect(sessionKeyOf(a, sinceA) === sessionKeyOf(b, sinceB)).toBe(same)
        expect(sessionKeyOf(a, sinceA).length).toBeLessThanOrEqual(256)
      }),
    )
    const at = { namespace: 'n', instance: 'i', channel: 'c' }
    expect(sessionKeyOf({ ...at, chat: 'a/b' }, undefined)).not.toBe(
      sessionKeyOf({ ...at, chat: 'a', thread: 'b' }, undefined),
    )
    expect(sessionKeyOf({ ...at, chat: 'a', thread: 'b' }, undefined)).not.toBe(sessionKeyOf({ ...at, chat: 'a' }, 'b'))
  })

  test('a run says where its end goes and what it holds, and who makes it again makes the same', () => {
    fc.assert(
      fc.property(anyPlace, turns, since, (place, waiting, began) => {
        const said = waiting.slice(0, fitting(waiting))
        const run = turnRun(place, said, { since: began })
        expect(turnRun(place, said, { since: began })).toEqual(run)
        expect(turnRun(place, said.slice(0, 1), { since: began }).metadata.name).toBe(run.metadata.name)
        const turn = turnOf(run)
        expect(turn?.place).toEqual({ thread: undefined, ...place })
        expect(turn?.messages).toEqual(said.map(({ message }) => message.id))
        expect(run.spec.task.length).toBeLessThanOrEqual(maxTaskLength)
        expect(run.spec.task).not.toContain('\0')
      }),
    )
  })
})

const place: Place = { namespace: 'team', instance: 'helper', channel: 'chat', chat: 'c1' }
const message: Received = {
  id: 'm1',
  at: '2026-01-01T00:00:00Z',
  chat: { id: 'c1', kind: 'direct' },
  sender: { id: 'U1', name: 'Ada', kind: 'person' },
  text: 'x',
  mentioned: true,
  mayCommand: true,
  attachments: [{ name: 'a\n]b.pdf', mimeType: 'application/pdf', size: 3 }],
}

test('a run holds what fits into a task, and the first message in any case', () => {
  const said = (length: number) => ({ message: { ...message, attachments: [] }, text: 'x'.repeat(length), sequence: 1 })
  expect(fitting([said(65_536), said(65_000), said(600)])).toBe(2)
  expect(fitting([said(200_000), said(1)])).toBe(1)
  expect(fitting(Array.from({ length: 60 }, () => said(1)))).toBe(50)
})

test('the agent is told of what it cannot read', () => {
  const run = turnRun(place, [{ message, text: 'Look.', sequence: 1 }], { since: undefined })
  expect(run.spec.task).toBe('Look.\n[attached, and not readable here: a ]b.pdf (application/pdf, 3 bytes)]')
})

test('a run is of a chat by its origin, which admission keeps, and only in its own namespace and instance', () => {
  const made = turnRun(place, [{ message, text: 'x', sequence: 1 }], { since: undefined })
  const of = (spec: Partial<AgentRun['spec']>, metadata: object = {}) =>
    turnOf({ ...made, spec: { ...made.spec, ...spec }, metadata: { ...made.metadata, ...metadata } })?.place
  expect(of({})).toMatchObject({ namespace: 'team', instance: 'helper' })
  expect(of({ origin: { kind: 'user', detail: 'ada' } })).toBeUndefined()
  expect(of({ instanceRef: { name: 'other' } }, { namespace: 'blue' })).toMatchObject({
    namespace: 'blue',
    instance: 'other',
  })
  expect(of({}, { annotations: { 'k8sclaw.io/turn': '{"channel":' } })).toBeUndefined()
})
