import fc from 'fast-check'
import { expect, it } from 'vitest'
import { InTime } from './in-time.ts'

it('takes what comes within a moment in the order in which it was said, one after the other', async () => {
  const orders = fc.uniqueArray(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(orders, async (said) => {
      const inTime = new InTime(1)
      const taken: number[] = []
      let atOnce = 0
      const add = (at: number) =>
        inTime.add('chat', at, async () => {
          expect(++atOnce).toBe(1)
          await Promise.resolve()
          taken.push(at)
          atOnce--
        })
      await Promise.all(said.map(add))
      expect(taken).toEqual(said.toSorted((a, b) => a - b))
    }),
    { numRuns: 50 },
  )
})

it('keeps the order of arrival where a service names the same time', async () => {
  const inTime = new InTime(1)
  const taken: string[] = []
  const add = (at: number, what: string) => inTime.add('chat', at, async () => void taken.push(what))
  await Promise.all([add(7, 'second'), add(7, 'third'), add(6, 'first')])
  expect(taken).toEqual(['first', 'second', 'third'])
})

it('takes what comes too late behind what was taken', async () => {
  const inTime = new InTime(1)
  const taken: number[] = []
  const add = (at: number) => inTime.add('chat', at, async () => void taken.push(at))
  await add(2)
  await add(1)
  expect(taken).toEqual([2, 1])
})

it('holds nobody up for what is taken in another chat, and lets what comes meanwhile wait', async () => {
  const inTime = new InTime(1)
  const taken: string[] = []
  const { promise: free, resolve: release } = Promise.withResolvers<void>()
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  const slow = inTime.add('slow', 1, async () => {
    begin()
    await free
    taken.push('slow')
  })
  await begun
  const behind = inTime.add('slow', 0, async () => void taken.push('behind it'))
  await inTime.add('other', 1, async () => void taken.push('other'))
  expect(taken).toEqual(['other'])
  release()
  await Promise.all([slow, behind])
  expect(taken).toEqual(['other', 'slow', 'behind it'])
})

it('takes nothing that waits behind what was not taken, and all that is delivered again', async () => {
  const inTime = new InTime(1)
  const taken: number[] = []
  let isAway = true
  const add = (at: number) =>
    inTime.add('chat', at, async () => {
      if (isAway && at === 2) throw new Error('no bus')
      taken.push(at)
    })
  const results = await Promise.allSettled([3, 2, 1].map(add))
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  expect(taken).toEqual([1])
  isAway = false
  await Promise.all([3, 2].map(add))
  expect(taken).toEqual([1, 2, 3])
})
