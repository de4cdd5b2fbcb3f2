import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { agentRunStatus, maxStatusResultBytes } from '#core/kinds'
import { effective, run } from '../testing/objects.ts'
import { changes, cutUtf8, finishedStatus, startingStatus, waitingStatus } from './status.ts'

const now = new Date('2026-01-01T00:00:00Z')

describe('cutUtf8', () => {
  it('keeps within its bytes and never cuts a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), fc.integer({ min: 80, max: 300 }), (text, max) => {
        const cut = cutUtf8(text, max)
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max)
        expect(cut).not.toContain('\uFFFD')
        if (Buffer.byteLength(text) <= max) expect(cut).toBe(text)
      }),
    )
  })
})

describe('status patches', () => {
  it('write what the schema allows', () => {
    const usage = { inputTokens: 1, outputTokens: 2, modelCalls: 3, toolCalls: 4 }
    const outcome = {
      run: 'uid-r',
      attempt: 1,
      at: now.toISOString(),
      writer: 'bridge' as const,
      phase: 'Succeeded' as const,
      reason: 'Completed',
      result: 'ü'.repeat(10_000),
      usage,
    }
    const starting = { ...startingStatus(run('r'), effective, 'job', now), reason: undefined }
    for (const patch of [starting, finishedStatus(run('r'), outcome, now)]) {
      expect(agentRunStatus.safeParse(patch).error).toBeUndefined()
    }
    const { result } = finishedStatus(run('r'), outcome, now)
    expect(Buffer.byteLength(String(result))).toBeLessThanOrEqual(maxStatusResultBytes)
  })

  it('hold nothing of what an agent says that an API server refuses, however it ends', () => {
    const usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }
    const end = { run: 'uid-r', attempt: 1, at: now.toISOString(), writer: 'bridge' as const, usage }
    const text = `nul \0 half \ud800 ${'x'.repeat(100_000)}`
    const failed = { ...end, phase: 'Failed' as const, reason: 'AgentError', error: text }
    const done = { ...end, phase: 'Succeeded' as const, reason: 'Completed', result: text }
    for (const outcome of [failed, done]) {
      const patch = finishedStatus(run('r'), outcome, now)
      expect(agentRunStatus.safeParse(patch).error).toBeUndefined()
      const written = JSON.stringify(patch)
      expect(written).toContain('nul \uFFFD half \uFFFD xxx')
      expect(written).not.toMatch(/\\u0000|\\ud800/)
    }
  })

  it('are not written twice', () => {
    const step = { do: 'wait', condition: 'Started', reason: 'Queued', message: 'm', effective } as const
    const patch = waitingStatus(run('r'), step, now)
    expect(changes(run('r'), patch)).toBe(true)
    const written = run('r', {}, agentRunStatus.parse(patch))
    expect(changes(written, waitingStatus(written, step, new Date(now.getTime() + 60_000)))).toBe(false)
  })
})
