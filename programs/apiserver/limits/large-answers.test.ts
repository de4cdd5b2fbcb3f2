import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { answerLimits, LargeAnswers, type Responding } from './large-answers.ts'

const limits = { ...answerLimits, smallBytes: 10, mostBytes: 100, largeAtOnce: 2, largeOfEach: 1 }

/** Of a response no more than whether it is over. */
class Answered extends EventEmitter implements Responding {
  destroyed = false
  destroy(): this {
    this.destroyed = true
    this.emit('close')
    return this
  }
}

function asking(answers: LargeAnswers) {
  const events: string[] = []
  const ask = (user: string, name: string) => {
    const response = new Answered()
    const reading = answers.readingFor(user, response)
    const turn = Promise.resolve(reading(50)).then(
      () => void events.push(name),
      (error: { code: string }) => void events.push(`${name} ${error.code}`),
    )
    return { response, reading, turn, end: () => response.destroy() }
  }
  return { events, ask }
}

test('what is short is read at any time, and what is too long for anybody never', () => {
  const reading = new LargeAnswers({ ...limits, largeAtOnce: 0 }).readingFor('ann', new Answered())
  expect(reading(10)).toBeUndefined()
  expect(() => reading(101)).toThrow(expect.objectContaining({ code: 'too_large' }))
})

test('long answers take turns in their order, and nobody takes the turns of all', async () => {
  const { events, ask } = asking(new LargeAnswers(limits))
  const first = ask('ann', 'ann 1')
  const second = ask('ann', 'ann 2')
  const third = ask('bob', 'bob 1')
  const fourth = ask('cid', 'cid 1')
  await Promise.all([first.turn, third.turn])
  expect(events).toEqual(['ann 1', 'bob 1'])
  // A turn is the request's, however much it reads.
  await first.reading(99)
  third.end()
  await fourth.turn
  expect(events).toEqual(['ann 1', 'bob 1', 'cid 1'])
  first.end()
  await second.turn
  expect(events).toEqual(['ann 1', 'bob 1', 'cid 1', 'ann 2'])
})

test('who leaves while it waits is passed over', async () => {
  const { events, ask } = asking(new LargeAnswers({ ...limits, largeAtOnce: 1 }))
  const first = ask('ann', 'ann')
  const second = ask('bob', 'bob')
  const third = ask('cid', 'cid')
  const left = new Answered().destroy()
  second.end()
  first.end()
  await Promise.all([second.turn, third.turn])
  expect(events).toEqual(['ann', 'bob unavailable', 'cid'])
  const gone = new LargeAnswers(limits).readingFor('ann', left)
  await expect(gone(50)).rejects.toMatchObject({ code: 'unavailable' })
})

test('whose turn does not come is told when to ask again, and who does not take an answer is cut off', async () => {
  const { events, ask } = asking(new LargeAnswers({ ...limits, largeAtOnce: 1, turnWithinMs: 5, turnMs: 60_000 }))
  ask('ann', 'ann')
  await ask('bob', 'bob').turn
  expect(events).toEqual(['ann', 'bob too_many'])
  const short = asking(new LargeAnswers({ ...limits, largeAtOnce: 1, turnMs: 5 }))
  const slow = short.ask('ann', 'ann')
  await short.ask('bob', 'bob').turn
  expect([slow.response.destroyed, ...short.events]).toEqual([true, 'ann', 'bob'])
})
