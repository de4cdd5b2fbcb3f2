import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Buckets } from './buckets.ts'

test('a bucket never gives more than its burst and what came since, to each name by itself', () => {
  const steps = fc.array(fc.record({ name: fc.constantFrom('a', 'b', 'c'), wait: fc.nat(300) }), { maxLength: 200 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20 }), (asked, perSecond, burst) => {
      let now = 0
      const buckets = new Buckets({ perSecond, burst, now: () => now })
      const taken = new Map<string, number>()
      for (const { name, wait } of asked) {
        now += wait
        const left = buckets.take(name)
        if (left > 0) {
          // Then there is one, and not before.
          expect(left).toBeLessThanOrEqual(1000 / perSecond + 1e-6)
          continue
        }
        taken.set(name, (taken.get(name) ?? 0) + 1)
        expect(taken.get(name)).toBeLessThanOrEqual(burst + (now * perSecond) / 1000 + 1e-6)
      }
    }),
  )
})

test('what it says one has to wait is enough', () => {
  let now = 0
  const buckets = new Buckets({ perSecond: 3, burst: 2, now: () => now })
  for (let taken = 0; taken < 100; taken++) now += buckets.take('a')
  expect(buckets.take('a')).toBeGreaterThan(0)
  now += buckets.take('a') + 1e-6
  expect(buckets.take('a')).toBe(0)
})

test('who asks no more is forgotten', () => {
  let now = 0
  const buckets = new Buckets({ perSecond: 10, burst: 10, now: () => now })
  for (let name = 0; name < 1000; name++) buckets.take(`${name}`)
  expect(buckets.size).toBe(1000)
  now += 2000
  buckets.take('again')
  expect(buckets.size).toBe(1)
})
