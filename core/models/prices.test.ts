import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PriceTable, pricedName, readPrices } from './index.ts'

const entry = (from: string, inputPerMillion: number, outputPerMillion = 0) => ({
  provider: 'house',
  model: 'm',
  from,
  inputPerMillion,
  outputPerMillion,
})
const used = (day: string, inputTokens = 1_000_000, outputTokens = 0) => ({
  provider: 'house',
  model: 'm',
  day,
  inputTokens,
  outputTokens,
})

describe('a price table', () => {
  const table = new PriceTable([entry('2026-03-01', 2), entry('2026-01-01', 3)])

  it.each([
    ['2025-12-31', undefined],
    ['2026-01-01', 3_000_000],
    ['2026-02-28', 3_000_000],
    ['2026-03-01', 2_000_000],
  ])('on %s charges what was the price then', (day, cost) => {
    expect(table.costMicroUSD(used(day))).toBe(cost)
  })

  it('does not take what it does not know for free', () => {
    expect(table.costMicroUSD({ ...used('2026-03-01'), model: 'other' })).toBeUndefined()
    expect(table.costMicroUSD({ ...used('2026-03-01'), provider: 'other' })).toBeUndefined()
    expect(table.costMicroUSD({ ...used('2026-03-01'), provider: 'demo', model: 'demo' })).toBe(0)
  })

  it('knows the snapshots of a model by the name of the model, unless they have a price of their own', () => {
    const own = new PriceTable([entry('2026-01-01', 1), { ...entry('2026-01-01', 7), model: 'm-2026-01-31' }])
    expect(own.costMicroUSD({ ...used('2026-02-01'), model: 'm-20260115' })).toBe(1_000_000)
    expect(own.costMicroUSD({ ...used('2026-02-01'), model: 'm-2026-01-31' })).toBe(7_000_000)
    expect(pricedName('anthropic', 'claude-sonnet-4-5-20250929')).toEqual({
      provider: 'anthropic',
      model: 'claude-sonnet-4-5',
    })
  })

  it("lets the operator's prices of a model replace all that are built in", () => {
    const own = new PriceTable([{ ...entry('2026-06-01', 9), provider: 'demo', model: 'demo' }])
    const demo = { provider: 'demo', model: 'demo' }
    expect(own.costMicroUSD({ ...used('2026-06-01'), ...demo })).toBe(9_000_000)
    expect(own.costMicroUSD({ ...used('2026-05-31'), ...demo })).toBeUndefined()
  })

  it('rounds to the nearest millionth of a dollar, once, however many tokens there are', () => {
    const tokens = fc.integer({ min: 0, max: 2 ** 40 })
    const price = fc.integer({ min: 0, max: 200_000_000 })
    fc.assert(
      fc.property(tokens, tokens, price, price, (input, output, inputMicro, outputMicro) => {
        const one = new PriceTable([entry('2026-01-01', inputMicro / 1e6, outputMicro / 1e6)])
        const cost = one.costMicroUSD(used('2026-01-01', input, output)) ?? -1
        const exact = BigInt(input) * BigInt(inputMicro) + BigInt(output) * BigInt(outputMicro)
        const off = BigInt(cost) * 1_000_000n - exact
        expect(off <= 500_000n && off > -500_001n).toBe(true)
      }),
    )
  })
})

describe("the operator's prices", () => {
  it('may be written as numbers or as text', () => {
    expect(readPrices([{ ...entry('2026-01-01', 1), inputPerMillion: '0.075' }])).toEqual([entry('2026-01-01', 0.075)])
  })

  it.each([
    [[{ ...entry('2026-01-01', 1), inputPerMillion: -1 }], '0.inputPerMillion'],
    [[{ ...entry('2026-01-01', 1), from: 'yesterday' }], '0.from'],
    [[{ ...entry('2026-01-01', 1), perRequest: 1 }], '0'],
    ['free', 'prices'],
  ])('%j is refused, naming the place', (document, field) => {
    expect(() => readPrices(document)).toThrow(expect.objectContaining({ code: 'invalid', field }))
  })
})
