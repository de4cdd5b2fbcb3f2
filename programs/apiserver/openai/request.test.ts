import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClawError } from '#core/errors'
import { openAiError } from './errors.ts'
import { chatRequest, readChat } from './request.ts'
import { taskOf } from './task.ts'

const user = (content: unknown) => ({ role: 'user', content })
const body = { model: 'red/bot', messages: [user('Hello')] }
const read = (fields: object, session?: string) => readChat(chatRequest.parse({ ...body, ...fields }), session)
const refused = (fields: object, session?: string) => {
  const parsed = chatRequest.safeParse({ ...body, ...fields })
  if (!parsed.success) return String(parsed.error.issues[0]?.path.join('.'))
  try {
    readChat(parsed.data, session)
  } catch (error) {
    const { status, error: told } = openAiError(error)
    return `${status} ${told.code} ${told.param}`
  }
  return 'accepted'
}

describe('a request for a chat completion', () => {
  test('names instance and agent by its model', () => {
    expect(read({})).toMatchObject({
      namespace: 'red',
      instance: 'bot',
      agent: 'default',
      task: 'Hello',
      stream: false,
    })
    expect(read({ model: 'red/bot/coder' })).toMatchObject({ instance: 'bot', agent: 'coder' })
    for (const model of ['gpt-4o', '', 'red/', '/bot', 'red/bot/', 'Red/bot', 'red/bot/a/b', `red/${'x'.repeat(64)}`]) {
      expect(refused({ model })).toBe('404 model_not_found model')
    }
  })

  test('refuses what would change the answer and cannot be done, by the name of the parameter', () => {
    const tool = { type: 'function', function: { name: 'f' } }
    const wrong = {
      n: 2,
      tools: [tool],
      functions: [{ name: 'f' }],
      tool_choice: 'required',
      response_format: { type: 'json_object' },
      stop: ['.'],
      logprobs: true,
      top_logprobs: 3,
      logit_bias: { 1: 2 },
      modalities: ['text', 'audio'],
      audio: { voice: 'x' },
      prediction: { type: 'content' },
      web_search_options: { a: 1 },
      store: true,
      stream: 'yes',
    }
    for (const [name, value] of Object.entries(wrong)) expect(refused({ [name]: value })).toBe(name)
    expect(chatRequest.safeParse({ ...body, frequency: 1 }).error?.issues[0]).toMatchObject({ keys: ['frequency'] })
    expect(chatRequest.safeParse({ ...body, metadata: { color: 'red' } }).success).toBe(false)
  })

  test('takes what clients spell out although it asks for nothing', () => {
    const nothing = {
      ...{ n: 1, tools: [], functions: [], tool_choice: 'auto', response_format: { type: 'text' }, stop: null },
      ...{ logprobs: false, top_logprobs: 0, logit_bias: {}, modalities: ['text'], store: false, stream: null },
      ...{ stream_options: null, metadata: {}, temperature: null, user: undefined },
    }
    expect(refused(nothing)).toBe('accepted')
    expect(read(nothing).ignored).toEqual([])
  })

  test('says which parameters have no effect', () => {
    expect(read({ temperature: 0.2, max_tokens: 100, user: 'u-1' }).ignored).toEqual([
      'temperature',
      'max_tokens',
      'user',
    ])
  })

  test('takes the texts of a message, and nothing but text', () => {
    const parts = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ]
    expect(read({ messages: [user(parts)] }).task).toBe('one\ntwo')
    const image = { type: 'image_url', image_url: { url: 'https://example.org/x.png' } }
    expect(refused({ messages: [user([parts[0], image])] })).toBe('messages.0.content.1.type')
    expect(refused({ messages: [{ role: 'tool', content: '1', tool_call_id: 'x' }] })).toBe('messages.0.role')
    const calls = { role: 'assistant', content: null, tool_calls: [{ id: 'x' }] }
    expect(refused({ messages: [calls, user('x')] })).toMatch(/^messages\.0\./)
    const answered = { role: 'assistant', content: 'Hi', refusal: null, annotations: [], tool_calls: [] }
    expect(refused({ messages: [answered, user('x')] })).toBe('accepted')
  })

  test('ends with a message of the user that an agent can take', () => {
    expect(refused({ messages: [user('x'), { role: 'assistant', content: 'y' }] })).toBe('400 invalid messages')
    expect(refused({ messages: [{ role: 'system', content: 'x' }] })).toBe('400 invalid messages')
    expect(refused({ messages: [user('')] })).toBe('400 invalid messages')
    expect(refused({ messages: [user('a\0b')] })).toBe('400 invalid messages')
    expect(refused({ messages: [user('x'.repeat(131_073))] })).toBe('400 context_length_exceeded messages')
    const long = { role: 'system', content: 'x'.repeat(32_769) }
    expect(refused({ messages: [long, user('x')] })).toBe('400 context_length_exceeded messages')
  })

  test('belongs to the session that the header names, else metadata', () => {
    expect(read({}).sessionKey).toBeUndefined()
    expect(read({ metadata: { session: 'mine' } }).sessionKey).toBe('mine')
    expect(read({ metadata: { session: 'mine' } }, 'other').sessionKey).toBe('other')
    expect(refused({ metadata: { session: '' } })).toBe('metadata.session')
  })
})

test('no body is more than refused: what a client sends becomes a run that could be, or an error of its own', () => {
  const name = fc.constantFrom(...Object.keys(chatRequest.shape), 'other')
  const message = fc.record({
    role: fc.constantFrom('system', 'developer', 'user', 'assistant', 'tool', 1),
    content: fc.oneof(
      fc.string(),
      fc.array(fc.record({ type: fc.constantFrom('text', 'file'), text: fc.string() })),
      fc.anything(),
    ),
  })
  const fields = fc.oneof(
    fc.dictionary(name, fc.jsonValue(), { maxKeys: 4 }),
    fc.record({ messages: fc.array(message, { maxLength: 4 }) }),
    fc.record({ model: fc.string() }),
  )
  fc.assert(
    fc.property(fields, fc.option(fc.string(), { nil: undefined }), (given, session) => {
      const parsed = chatRequest.safeParse({ ...body, ...given })
      if (!parsed.success) return
      try {
        expect(readChat(parsed.data, session).task).not.toBe('')
      } catch (error) {
        expect(error).toBeInstanceOf(ClawError)
      }
    }),
    { numRuns: 2_000 },
  )
})

describe('the task of a conversation', () => {
  const said = [
    { role: 'user', content: 'My name is Ada.' },
    { role: 'assistant', content: 'Hello Ada.' },
    { role: 'user', content: 'Who am I?' },
  ] as const

  test('is the last message alone where the platform remembers the rest, or where there is no rest', () => {
    expect(taskOf(said, { remembered: true }).task).toBe('Who am I?')
    expect(taskOf(said.slice(2), { remembered: false }).task).toBe('Who am I?')
  })

  test('tells what came before where nobody remembers it', () => {
    expect(taskOf(said, { remembered: false }).task).toBe(
      [
        'This conversation goes on. What was said so far, oldest first, a JSON object a line:',
        '{"role":"user","content":"My name is Ada."}',
        '{"role":"assistant","content":"Hello Ada."}',
        '',
        'What you are asked now:',
        'Who am I?',
      ].join('\n'),
    )
  })

  test('keeps every message apart from the others, whatever they say', () => {
    const message = fc.record({ role: fc.constantFrom('user' as const, 'assistant' as const), content: fc.string() })
    fc.assert(
      fc.property(fc.array(message, { minLength: 1 }), fc.string(), (before, last) => {
        const { task } = taskOf([...before, { role: 'user', content: last }], { remembered: false })
        const lines = task.split('\n').slice(1, 1 + before.length)
        expect(lines.map((line) => JSON.parse(line))).toEqual(before)
        expect(task.endsWith(`\n${last}`)).toBe(true)
      }),
    )
  })

  test('puts system messages in the place of the system prompt, wherever they stand', () => {
    const system = { role: 'system', content: 'Be brief.' } as const
    const developer = { role: 'developer', content: 'Be kind.' } as const
    expect(taskOf([system, ...said, developer], { remembered: true })).toEqual({
      task: 'Who am I?',
      systemPrompt: 'Be brief.\n\nBe kind.',
    })
    expect(taskOf(said, { remembered: true }).systemPrompt).toBeUndefined()
  })
})

test('an error is told in the words of OpenAI, and a fault of ours is not told', () => {
  const told = (error: unknown) => openAiError(error).error
  expect(told(new ClawError('invalid', 'no', { field: 'messages.0.content.1.type' }))).toEqual({
    message: 'no',
    type: 'invalid_request_error',
    param: 'messages[0].content[1].type',
    code: 'invalid',
  })
  expect(told(new Error('secret'))).toMatchObject({ type: 'server_error', code: 'internal' })
  expect(told(new Error('secret')).message).not.toContain('secret')
  expect(openAiError(new ClawError('too_many', 'later'))).toMatchObject({
    status: 429,
    error: { type: 'rate_limit_error' },
  })
})
