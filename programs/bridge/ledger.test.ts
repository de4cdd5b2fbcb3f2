import { describe, expect, it } from 'vitest'
import type { Entry } from '#core/journal'
import { Ledger } from './ledger.ts'
import { judgeModelCall } from './model-calls.ts'

let sequence = 0
const stamp = (attempt: number) => ({ run: 'r', attempt, sequence: ++sequence, at: '2026-01-01T00:00:00.000Z' })
const called = (id: string, action: 'allow' | 'deny', step?: number, attempt = 1): Entry => ({
  kind: 'called',
  ...stamp(attempt),
  call: { id, tool: step ? 'model' : 'exec', inputHash: id.padEnd(64, '0'), ...(step ? { step } : { input: 'large' }) },
  verdict: { action, reason: '' },
})
const answered = (callId: string, tokens?: { input: number; output: number }, attempt = 1): Entry => ({
  kind: 'answered',
  ...stamp(attempt),
  callId,
  tool: tokens ? 'model' : 'exec',
  answer: { ok: true, output: {} },
  durationMs: 1,
  ...(tokens ? { tokens } : {}),
})

describe('the ledger', () => {
  it('counts what was allowed, and the tokens that are known', () => {
    const ledger = new Ledger(1, [
      called('1', 'allow'),
      called('2', 'deny'),
      called('model-1', 'allow', 1),
      answered('model-1', { input: 5, output: 2 }),
      called('model-2', 'deny', 2),
      answered('1'),
    ])
    expect(ledger.usage).toEqual({ inputTokens: 5, outputTokens: 2, modelCalls: 1, toolCalls: 1 })
    expect(ledger.step).toBe(2)
    expect(ledger.known('2')).toMatchObject({ id: '2', tool: 'exec' })
    expect(ledger.known('1')).not.toHaveProperty('input')
  })

  it('counts what is recorded of all attempts, inputs and answers alike', () => {
    const ledger = new Ledger(2, [called('1', 'deny', undefined, 1), answered('1', undefined, 1), called('1', 'allow')])
    const before = ledger.recorded
    expect(before).toBe(2 * '"large"'.length + '{"ok":true,"output":{}}'.length)
    ledger.answered({ ok: true, output: 'x'.repeat(1_000) })
    expect(ledger.recorded).toBe(before + 1_000 + '{"ok":true,"output":""}'.length)
  })

  it('knows ids of its own attempt only, but the steps and the usage of all', () => {
    const ledger = new Ledger(2, [
      called('1', 'allow', undefined, 1),
      called('model-1', 'allow', 1, 1),
      answered('model-1', { input: 5, output: 2 }, 1),
    ])
    expect(ledger.known('1')).toBeUndefined()
    expect([ledger.step, ledger.size]).toEqual([1, 0])
    expect(ledger.usage).toEqual({ inputTokens: 5, outputTokens: 2, modelCalls: 1, toolCalls: 1 })
  })
})

it.each([
  [1, 0, 'allow'],
  [3, 99, 'allow'],
  [4, 0, 'deny'],
  [1, 100, 'deny'],
] as const)('step %i after %i tokens of 3 and 100: %s', (step, tokens, action) => {
  expect(judgeModelCall(step, tokens, { maxSteps: 3, maxTokens: 100 }).action).toBe(action)
})
