import { expect, test, vi } from 'vitest'
import { ClawError } from '#core/errors'
import { untilJudged } from './judged.ts'

const unjudged = new ClawError('unjudged', 'failed calling webhook')

test('a write that nobody could judge is sent again until somebody could', async () => {
  const answers = [unjudged, unjudged, undefined]
  const write = vi.fn(async () => {
    const answer = answers.shift()
    if (answer) throw answer
    return 'made'
  })
  expect(await untilJudged(write)).toBe('made')
  expect(write).toHaveBeenCalledTimes(3)
})

test('it is given up in the end, with what was said last', async () => {
  const write = vi.fn(async () => Promise.reject(unjudged))
  await expect(untilJudged(write, 400)).rejects.toBe(unjudged)
  // Pauses of at least 50 and 100 ms, the third would be too long; where the machine is slow, fewer.
  expect(write.mock.calls.length).toBeGreaterThan(1)
  expect(write.mock.calls.length).toBeLessThan(5)
})

test.each(['invalid', 'forbidden', 'unavailable', 'timeout', 'already_exists'] as const)(
  'what may have been done, or was judged, is not sent again: %s',
  async (code) => {
    const write = vi.fn(async () => Promise.reject(new ClawError(code, 'no')))
    await expect(untilJudged(write)).rejects.toMatchObject({ code })
    expect(write).toHaveBeenCalledOnce()
  },
)
