import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fitHistory, type Said, type SummaryRow } from './fit.ts'

/** Turns of a run each, `first` the oldest, as they are read: newest first. */
const turns = (...said: [question: string, answer: string][]): Said[] =>
  said
    .flatMap(([question, answer], i): Said[] => [
      { run: `r${i}`, role: 'user', content: question },
      { run: `r${i}`, role: 'assistant', content: answer },
    ])
    .toReversed()
const summary = (through: string): SummaryRow => ({
  ...{ run: 'maker', model: 'demo/demo', content: 'before', through, partial: false },
})
const contents = (messages: { content: string }[] | undefined) => messages?.map(({ content }) => content)
const ten = (mark: string) => mark.repeat(10)

describe('what of a conversation is told', () => {
  test('is all of it, where it fits', () => {
    const { history, ...rest } = fitHistory(turns(['a', 'b'], ['c', 'd']), {
      summary: undefined,
      maxBytes: 4,
      more: false,
    })
    expect(contents(history)).toEqual(['a', 'b', 'c', 'd'])
    expect(rest).toEqual({ cut: false })
  })

  test('is its newest turns, and what is older is to be summarised with half of them', () => {
    const said = turns([ten('a'), ten('b')], [ten('c'), ten('d')], [ten('e'), ten('f')], [ten('g'), ten('h')])
    const { history, cut, older } = fitHistory(said, { summary: undefined, maxBytes: 60, more: false })
    expect(contents(history)).toEqual([ten('c'), ten('d'), ten('e'), ten('f'), ten('g'), ten('h')])
    expect(cut).toBe(true)
    expect(older).toMatchObject({ partial: false, keep: 2, through: 'r2' })
    expect(contents(older?.messages)).toEqual([ten('a'), ten('b')])
  })

  test('is the summary and what came after it, for as long as that fits', () => {
    const said = turns([ten('a'), ten('b')], ['c', 'd'], ['e', 'f'])
    const told = fitHistory(said, { summary: summary('r0'), maxBytes: 10, more: false })
    expect(contents(told.history)).toEqual(['c', 'd', 'e', 'f'])
    expect(told).toMatchObject({ cut: true, summary: { content: 'before' } })
    expect(told.older).toBeUndefined()
  })

  test('needs another summary of the one before and what came after it', () => {
    const said = turns(['a', 'b'], [ten('c'), ten('d')], [ten('e'), ten('f')])
    const told = fitHistory(said, { summary: summary('r0'), maxBytes: 30, more: false })
    expect(contents(told.history)).toEqual([ten('e'), ten('f')])
    expect(contents(told.older?.messages)).toEqual([ten('c'), ten('d')])
    expect(told).toMatchObject({ summary: { through: 'r0' }, older: { keep: 0, through: 'r2', partial: false } })
  })

  test('is nothing word for word where the last turn is too long, and its summary is of an abridged one', () => {
    const told = fitHistory(turns(['a', 'ö'.repeat(100_000)]), { summary: undefined, maxBytes: 1000, more: false })
    expect(told).toMatchObject({ history: [], cut: true, older: { keep: 0, through: 'r0', partial: false } })
    const [, answer] = contents(told.older?.messages) ?? []
    expect(answer).toContain('bytes left out')
    expect(Buffer.byteLength(answer ?? '')).toBeLessThan(9_000)
    expect(answer?.isWellFormed()).toBe(true)
  })

  test('is in no summary where it is too much even for that, or was not read', () => {
    const many = turns(...Array.from({ length: 40 }, (): [string, string] => ['x'.repeat(5_000), 'y'.repeat(5_000)]))
    const told = fitHistory(many, { summary: undefined, maxBytes: 20_000, more: false })
    expect(told.older).toMatchObject({ keep: 2, partial: true, through: 'r38' })
    expect(told.older?.messages).toHaveLength(18)
    const unread = fitHistory(turns(['a', 'b'], ['c', 'd']), { summary: undefined, maxBytes: 1_000, more: true })
    expect(unread.older).toEqual({ messages: [], keep: 2, through: 'r0', partial: true })
  })

  test('leaves nothing out, tells nothing twice, and stays within its bounds', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 })
    const options = fc.record({ maxBytes: fc.integer({ min: 1, max: 400 }), covered: fc.integer({ min: -1, max: 12 }) })
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { maxLength: 12 }), options, (said, { maxBytes, covered }) => {
        const known = covered >= 0 && covered < said.length ? summary(`r${covered}`) : undefined
        const told = fitHistory(turns(...said), { summary: known, maxBytes, more: false })
        const fresh = said.slice(known ? covered + 1 : 0).flat()
        expect([...(contents(told.older?.messages) ?? []), ...(contents(told.history) ?? [])]).toEqual(fresh)
        expect(Buffer.byteLength((contents(told.history) ?? []).join(''))).toBeLessThanOrEqual(maxBytes)
        const { older, history } = told
        if (!older) return
        const kept = contents(history.slice(history.length - older.keep)) ?? []
        expect(Buffer.byteLength(kept.join(''))).toBeLessThanOrEqual(maxBytes / 2)
        const through = Number(older.through.slice(1))
        expect(said.slice(through + 1).flat()).toEqual(kept)
      }),
    )
  })
})
