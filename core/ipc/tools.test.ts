import { describe, expect, it } from 'vitest'
import { callId, resultFile } from './messages.ts'
import { toolOffer } from './task.ts'
import { offerOf, toolNames, tools } from './tools.ts'

describe('the tools', () => {
  it('are offered as task.json wants them, with a schema that a model API takes: one plain object', () => {
    for (const name of toolNames) {
      const offer = toolOffer.parse(offerOf(name))
      expect(offer.inputSchema).toMatchObject({ type: 'object', additionalProperties: false })
      for (const word of ['anyOf', 'oneOf', 'allOf', '$ref']) expect(offer.inputSchema).not.toHaveProperty(word)
    }
  })

  it.each([
    ['exec', { command: 'ls' }, true],
    ['exec', { script: 'ls | wc', timeoutSeconds: 5 }, true],
    ['exec', {}, false],
    ['exec', { command: 'ls', script: 'ls' }, false],
    ['exec', { script: 'ls', args: ['x'] }, false],
    ['exec', { command: 'ls', args: ['a\0b'] }, false],
    ['exec', { command: 'ls', shell: true }, false],
    ['exec', { command: 'ls', timeoutSeconds: 0 }, false],
    ['exec', { command: 'ls', timeoutSeconds: 1e9 }, false],
    ['read_file', { path: 'a\0b' }, false],
    ['read_file', { path: '' }, false],
    ['write_file', { path: 'a', content: 7 }, false],
    ['edit_file', { path: 'a', oldText: '', newText: 'x' }, false],
    ['list_files', {}, true],
    ['search_files', { text: '' }, false],
  ] as const)('%s with %j is accepted: %s', (name, input, accepted) => {
    expect(tools[name].input.safeParse(input).success).toBe(accepted)
  })
})

describe('ids', () => {
  it.each(['a', 'A-z_09', 'x'.repeat(64)])('accepts %s', (id) => expect(callId.safeParse(id).success).toBe(true))
  it.each(['', 'x'.repeat(65), '../x', 'a.b', 'a b', 'ä', 'a\n'])('refuses %j', (id) =>
    expect(callId.safeParse(id).success).toBe(false),
  )
})

describe('result.json', () => {
  it('needs a response for success and an error for error, and ignores unknown fields', () => {
    expect(resultFile.safeParse({ status: 'success', response: 'done', more: 1 }).success).toBe(true)
    expect(resultFile.safeParse({ status: 'error', error: { code: 'x', message: 'y' } }).success).toBe(true)
    expect(resultFile.safeParse({ status: 'success' }).success).toBe(false)
    expect(resultFile.safeParse({ status: 'error', response: 'x' }).success).toBe(false)
    expect(resultFile.safeParse({ status: 'maybe', response: 'x' }).success).toBe(false)
  })
})
