import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { ClawError } from '#core/errors'
import { createLogger } from '#core/telemetry'
import { runController } from './controller.ts'
import { backoffMs, WorkQueue } from './queue.ts'

describe('WorkQueue', () => {
  it('hands out a key once however often it was added', async () => {
    const queue = new WorkQueue()
    queue.add('a')
    queue.add('a')
    queue.add('b')
    expect([await queue.take(), await queue.take()]).toEqual(['a', 'b'])
    expect(queue.length).toBe(0)
  })

  it('keeps a key back while a worker has it and brings it again afterwards', async () => {
    const queue = new WorkQueue()
    queue.add('a')
    await queue.take()
    queue.add('a')
    expect(queue.length).toBe(0)
    queue.done('a')
    expect(await queue.take()).toBe('a')
  })

  it('takes the shortest of several delays', async () => {
    const queue = new WorkQueue()
    queue.addAfter('a', 60_000)
    queue.addAfter('a', 5)
    expect(await queue.take()).toBe('a')
    queue.close()
  })

  it('lets waiting takers go when it closes', async () => {
    const queue = new WorkQueue()
    const taken = queue.take()
    queue.close()
    expect(await taken).toBeUndefined()
    expect(await queue.take()).toBeUndefined()
  })

  it('never gives one key to two workers and never loses the last add', async () => {
    const operation = fc.record({ op: fc.constantFrom('add', 'take', 'done'), key: fc.constantFrom('a', 'b', 'c') })
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
        const queue = new WorkQueue()
        const working = new Set<string>()
        const owed = new Set<string>()
        for (const { op, key } of operations) {
          if (op === 'add') {
            queue.add(key)
            owed.add(key)
          } else if (op === 'take' && queue.length > 0) {
            const taken = (await queue.take()) as string
            expect(working.has(taken)).toBe(false)
            working.add(taken)
            owed.delete(taken)
          } else if (op === 'done' && working.delete(key)) queue.done(key)
        }
        for (const key of working) queue.done(key)
        expect(queue.length).toBe(owed.size)
      }),
    )
  })

  it('doubles delays up to the cap', () => {
    const options = { baseMs: 100, maxMs: 1000, random: () => 1 }
    expect([1, 2, 3, 4, 5, 99].map((n) => backoffMs(n, options))).toEqual([100, 200, 400, 800, 1000, 1000])
    expect(backoffMs(1, { ...options, random: () => 0 })).toBe(50)
  })
})

describe('runController', () => {
  it('backs off after an error, requeues on request, and stops at a terminal error', async () => {
    const log = createLogger('test')
    log.level = 'silent'
    const queue = new WorkQueue({ baseMs: 1, maxMs: 2 })
    const stop = new AbortController()
    const seen: string[] = []
    const reconcile = async (key: string) => {
      seen.push(key)
      const times = seen.filter((k) => k === key).length
      if (key === 'fails twice' && times <= 2) throw new Error('no')
      if (key === 'terminal') throw new ClawError('invalid', 'never')
      return key === 'again' && times === 1 ? { requeueAfterMs: 1 } : undefined
    }
    const running = runController({ name: 'test', queue, reconcile, workers: 2, signal: stop.signal, log })
    for (const key of ['fails twice', 'terminal', 'again']) queue.add(key)
    await vi.waitFor(() => expect(seen).toHaveLength(6))
    stop.abort()
    await running
    expect(seen.toSorted()).toEqual(['again', 'again', 'fails twice', 'fails twice', 'fails twice', 'terminal'])
  })
})
