import fc from 'fast-check'
import { expect, test } from 'vitest'
import { heldBytes } from '../../test/support/heap.ts'
import { Either } from './either.ts'

/** A source that is told when it has its next value. */
function source<T>() {
  const asked: PromiseWithResolvers<IteratorResult<T>>[] = []
  const given: PromiseWithResolvers<IteratorResult<T>>[] = []
  const place = (mine: typeof asked, others: typeof asked) => {
    const met = others.shift()
    if (met) return met
    const one = Promise.withResolvers<IteratorResult<T>>()
    mine.push(one)
    return one
  }
  return {
    give: (value: T) => place(given, asked).resolve({ value, done: false }),
    end: () => place(given, asked).resolve({ value: undefined, done: true }),
    fail: (error: Error) => place(given, asked).reject(error),
    next: () => place(asked, given).promise,
  }
}

test('everything of both comes once, each in its own order, whenever it comes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.boolean()), { maxLength: 50 }), async (steps) => {
      const [first, second] = [source<number>(), source<number>()]
      const either = new Either(first, second)
      const came = { first: [] as number[], second: [] as number[] }
      let waiting = 0
      for (const [i, [isFirst, isTaken]] of steps.entries()) {
        ;(isFirst ? first : second).give(i)
        waiting++
        if (!isTaken) continue
        const { of, value } = await either.next()
        came[of].push(value.value)
        waiting--
      }
      for (; waiting > 0; waiting--) {
        const { of, value } = await either.next()
        came[of].push(value.value)
      }
      const all = (wanted: boolean) => steps.flatMap(([isFirst], i) => (isFirst === wanted ? [i] : []))
      expect(came).toEqual({ first: all(true), second: all(false) })
    }),
  )
})

test('an end and a failure come as the values do, and what was asked for before is not lost', async () => {
  const [first, second] = [source<string>(), source<string>()]
  const asked = second.next()
  const either = new Either(first, second, asked)
  second.give('early')
  expect(await either.next()).toEqual({ of: 'second', value: { value: 'early', done: false } })
  first.fail(new Error('broken'))
  await expect(either.next()).rejects.toThrow('broken')
  second.end()
  expect(await either.next()).toMatchObject({ of: 'second', value: { done: true } })
})

test('a source that is silent for long keeps nothing of what the other one says', async () => {
  const second = (async function* () {
    for (let i = 0; ; i++) yield i
  })()
  const either = new Either(source<number>(), second)
  const take = async (count: number) => {
    for (let i = 0; i < count; i++) await either.next()
    return heldBytes()
  }
  const before = await take(1_000)
  // A race of promises left about 300 bytes with each, which is 30 MB here.
  expect((await take(100_000)) - before).toBeLessThan(5_000_000)
})
