import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { exceeds, quantityValue, smallest } from './index.ts'
import { cpuQuantity, memoryQuantity, resources } from './quantity.ts'

const unit = 10n ** 9n

describe('quantityValue', () => {
  // The examples of the Kubernetes documentation, and the corners of its grammar.
  test.each([
    ['128974848', 128_974_848n * unit],
    ['129e6', 129_000_000n * unit],
    ['129M', 129_000_000n * unit],
    ['128974848000m', 128_974_848n * unit],
    ['123Mi', 123n * 1024n * 1024n * unit],
    ['0.1', unit / 10n],
    ['100m', unit / 10n],
    ['1.5Gi', (3n * 1024n ** 3n * unit) / 2n],
    ['1E', 10n ** 18n * unit],
    ['1E3', 1000n * unit],
    ['1e-3', unit / 1000n],
    ['2.5E+2', 250n * unit],
    ['1Ei', 2n ** 60n * unit],
    ['.5', unit / 2n],
    ['5.', 5n * unit],
    ['7n', 7n],
    ['7u', 7000n],
    [3, 3n * unit],
  ])('of %s is exact', (text, value) => {
    expect(quantityValue(text)).toBe(value)
  })

  test.each([
    ['1e-10', 1n],
    ['0.1n', 1n],
    ['0n', 0n],
  ])('of %s, which is finer than a billionth, is rounded up', (text, value) => {
    expect(quantityValue(text)).toBe(value)
  })

  test.each(['', '-1', '+1', '1 Gi', '1gi', '1KB', 'Gi', '1.2.3', '0x10', '1e', '١', '1\n'])('refuses %j', (text) => {
    expect(() => quantityValue(text)).toThrow(RangeError)
  })

  test('compares what is written in different units, however far beyond a double', () => {
    expect(exceeds('1Gi', '1G')).toBe(true)
    expect(exceeds('1024Mi', '1Gi')).toBe(false)
    expect(exceeds('9007199254740993', '9007199254740992')).toBe(true)
    expect(smallest('2', '1500m', 3)).toBe('1500m')
    expect(smallest('1Gi', '1024Mi')).toBe('1Gi')
  })

  test('orders as the numbers do', () => {
    const suffix = fc.constantFrom('n', 'u', 'm', '', 'k', 'M', 'Ki', 'Mi')
    const scale = { n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, Ki: 1024, Mi: 1024 ** 2 } as const
    const one = fc.tuple(fc.integer({ min: 0, max: 9999 }), suffix)
    fc.assert(
      fc.property(one, one, ([a, u], [b, v]) => {
        const [x, y] = [a * scale[u], b * scale[v]]
        // What is closer than a double can tell is not compared.
        fc.pre(Math.abs(x - y) > 1e-12 * Math.max(x, y))
        expect(exceeds(`${a}${u}`, `${b}${v}`)).toBe(x > y)
      }),
    )
  })
})

describe('an amount', () => {
  test.each([1, '1', '250m', '0.25', '10k', '2e1'])('of CPU may be %s', (cpu) => {
    expect(cpuQuantity.safeParse(cpu).success).toBe(true)
  })

  test.each([
    ['0', 'must be at least 1m'],
    ['0.0000m', 'must be at least 1m'],
    ['1.5m', 'must be a multiple of 1m'],
    ['10001', 'must be at most 10k'],
    ['many', 'must be a quantity such as 500m, 2 or 512Mi'],
    [1.5, 'must be a quantity such as 500m, 2 or 512Mi'],
    [-1, 'must be a quantity such as 500m, 2 or 512Mi'],
  ])('of CPU may not be %s: %s', (cpu, message) => {
    expect(cpuQuantity.safeParse(cpu).error?.issues.map((issue) => issue.message)).toEqual([message])
  })

  test.each([
    ['100m', 'must be at least 1'],
    ['2Pi', 'must be at most 1Pi'],
  ])('of memory may not be %s: %s', (memory, message) => {
    expect(memoryQuantity.safeParse(memory).error?.issues.map((issue) => issue.message)).toEqual([message])
  })

  test.each(['1', '128974848000m', '1.1Gi', '1Pi'])('of memory may be %s', (memory) => {
    expect(memoryQuantity.safeParse(memory).success).toBe(true)
  })

  test('that is requested is not above its limit, in whichever unit', () => {
    const wish = (request: string, limit: string) => ({ requests: { memory: request }, limits: { memory: limit } })
    expect(resources.safeParse(wish('1Gi', '1024Mi')).success).toBe(true)
    expect(resources.safeParse(wish('1Gi', '1G')).error?.issues).toMatchObject([
      { path: ['requests', 'memory'], message: 'must be at most the limit, 1G' },
    ])
  })
})

test('what is no quantity at all is refused, and not computed with', () => {
  fc.assert(
    fc.property(fc.anything(), fc.oneof(fc.string(), fc.double(), fc.constant('1Gi')), (a, b) => {
      for (const [request, limit] of [
        [a, b],
        [b, a],
      ])
        expect(() =>
          resources.safeParse({ requests: { cpu: request, memory: request }, limits: { cpu: limit, memory: limit } }),
        ).not.toThrow()
    }),
  )
})
