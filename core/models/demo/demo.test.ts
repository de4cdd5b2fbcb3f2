import { describe, expect, it } from 'vitest'
import { ReplyMeter } from '../meter.ts'
import { builtInDemo } from './built-in.ts'
import { conversationOf } from './conversation.ts'
import { matches } from './play.ts'
import { demoReply, demoTokens } from './reply.ts'
import { parseDemoScript } from './script.ts'

const openai = (messages: object[], tools: string[] = [], more: object = {}) => ({
  model: 'demo',
  messages,
  ...(tools.length ? { tools: tools.map((name) => ({ type: 'function', function: { name, parameters: {} } })) } : {}),
  ...more,
})
const user = (content: string) => ({ role: 'user', content })

/** Answers one chat completion as the demo model does, whole. */
function answer(script: Parameters<typeof demoReply>[0], body: Record<string, unknown>) {
  const reply = demoReply(script, 'openai', body)
  return JSON.parse(reply.pieces.map((p) => p.bytes).join('')) as {
    model: string
    choices: { message: { role: string; content: string | null; tool_calls?: Call[] }; finish_reason: string }[]
    usage: { prompt_tokens: number; completion_tokens: number }
  }
}
interface Call {
  id: string
  function: { name: string; arguments: string }
}

describe('the built-in script', () => {
  const outputs: Record<string, string> = {
    exec: JSON.stringify({ exitCode: 0, stdout: 'Linux\n2031\n', stderr: '' }),
    write_file: JSON.stringify({ bytes: 42 }),
    read_file: JSON.stringify({ content: '# Report\nLinux\n2031' }),
  }

  /** Runs the loop that an agent runs, with canned tools. */
  function loop(tools: string[]) {
    const messages: object[] = [user('What machine is this?')]
    const called: { name: string; input: unknown }[] = []
    for (let step = 0; step < 10; step++) {
      const message = answer(builtInDemo, openai(messages, tools)).choices[0]?.message
      messages.push({ ...message })
      if (!message?.tool_calls) return { called, final: message?.content ?? '', ids: messages }
      expect(message.content).toMatch(/\w/)
      for (const { id, function: f } of message.tool_calls) {
        called.push({ name: f.name, input: JSON.parse(f.arguments) })
        messages.push({ role: 'tool', tool_call_id: id, content: outputs[f.name] })
      }
    }
    throw new Error('the demo never answered')
  }

  it('runs a command, writes what it said, reads it back, and quotes both', () => {
    const { called, final } = loop(['exec', 'read_file', 'write_file', 'list_files'])
    expect(called.map((c) => c.name)).toEqual(['exec', 'write_file', 'read_file'])
    expect(called[1]?.input).toMatchObject({
      path: 'report.txt',
      content: expect.stringContaining('Linux\n2031') as string,
    })
    expect(final).toContain('Linux\n2031')
    expect(final).toContain('# Report')
    expect(final).toContain('demo model')
  })

  it('does with fewer tools what these can do', () => {
    expect(loop(['exec']).called.map((c) => c.name)).toEqual(['exec'])
    expect(loop(['write_file', 'read_file']).called.map((c) => c.name)).toEqual(['write_file', 'read_file'])
    expect(loop([]).final).toContain('What machine is this?')
  })

  it('never gives two calls of a conversation the same id, over several messages of the user', () => {
    const messages: object[] = [user('a')]
    const ids = new Set<string>()
    for (let i = 0; i < 8; i++) {
      const message = answer(builtInDemo, openai(messages, ['exec'])).choices[0]?.message
      messages.push({ ...message })
      for (const { id } of message?.tool_calls ?? []) {
        expect(ids.has(id)).toBe(false)
        ids.add(id)
        messages.push({ role: 'tool', tool_call_id: id, content: '{}' })
      }
      if (!message?.tool_calls) messages.push(user(`again ${i}`))
    }
    expect(ids.size).toBeGreaterThan(2)
  })
})

describe('the demo model', () => {
  const script = parseDemoScript(`
steps:
  - when: { user: '*fail*' }
    reply: { error: { status: 529, message: too busy, retryable: true } }
  - when: { turns: 1, result: '*denied*' }
    reply: { text: "I may not.", finish: length, usage: { input: 7, output: 9 } }
  - when: { turns: 0 }
    reply:
      text: ['I ', 'think', '']
      delayMs: 20
      toolCalls: [{ name: exec, arguments: { script: 'echo "{{user}}"', args: ['{{turns}}', 1, { deep: '{{tools}}' }] } }]
  - reply: { text: 'It said {{results.0.stdout}} / {{results.0.a.b}} / {{result}} / {{results.5}}.' }
`)

  it('is named demo and says the same for the same conversation', () => {
    const body = openai([user('hi')], ['exec'])
    expect(answer(script, body)).toEqual(answer(script, body))
    expect(answer(script, body)).toMatchObject({
      model: 'demo',
      choices: [{ finish_reason: 'tool_calls', message: { content: 'I think' } }],
    })
  })

  it('fills in values of the conversation', () => {
    const call = answer(script, openai([user('a "b"')], ['exec', 'x'])).choices[0]?.message.tool_calls?.[0]
    expect(JSON.parse(call?.function.arguments ?? '')).toEqual({
      script: 'echo "a "b""',
      args: ['0', 1, { deep: 'exec, x' }],
    })
    const asked = [user('q'), { role: 'assistant', content: null, tool_calls: [call] }]
    const result = JSON.stringify({ stdout: 'out\n', a: { b: [1] } })
    const said = answer(script, openai([...asked, { role: 'tool', tool_call_id: 'c', content: result }]))
    expect(said.choices[0]?.message.content).toBe(`It said out / [1] / ${result} / .`)
    const plain = answer(script, openai([...asked, { role: 'tool', tool_call_id: 'c', content: 'out' }]))
    expect(plain.choices[0]?.message.content).toBe('It said out / out / out / .')
  })

  it('matches on results, and takes finish and usage from the script', () => {
    const body = openai([
      user('q'),
      { role: 'assistant', content: 'x' },
      { role: 'tool', tool_call_id: 'c', content: 'it is denied!' },
    ])
    expect(answer(script, body)).toMatchObject({
      choices: [{ finish_reason: 'length', message: { content: 'I may not.' } }],
      usage: { prompt_tokens: 7, completion_tokens: 9 },
    })
  })

  it('fails as a provider fails where the script says so', () => {
    const reply = demoReply(script, 'anthropic', { model: 'demo', messages: [user('fail')] })
    expect(reply).toMatchObject({ status: 529, headers: { 'x-should-retry': 'true' } })
    expect(JSON.parse(reply.pieces[0]?.bytes ?? '')).toEqual({
      type: 'error',
      error: { type: 'overloaded_error', message: 'too busy' },
    })
  })

  it('waits as long whole as it does in pieces', () => {
    for (const format of ['openai', 'anthropic'] as const) {
      for (const stream of [true, false]) {
        const { pieces } = demoReply(script, format, { model: 'demo', messages: [user('hi')], stream })
        expect(pieces.reduce((sum, p) => sum + p.delayMs, 0)).toBe(60)
      }
    }
  })

  it('counts the same in both formats, streamed or not, and the meter reads it off the wire', () => {
    const tool = { name: 'exec', description: 'd', schema: { type: 'object' } }
    const bodies = {
      openai: {
        model: 'demo',
        messages: [{ role: 'system', content: 'Be brief.' }, user('hällo')],
        tools: [
          { type: 'function', function: { name: tool.name, description: tool.description, parameters: tool.schema } },
        ],
        stream_options: { include_usage: true },
      },
      anthropic: {
        model: 'demo',
        system: 'Be brief.',
        messages: [user('hällo')],
        tools: [{ name: tool.name, description: tool.description, input_schema: tool.schema }],
      },
    }
    const expected = [3, 2, Math.ceil(JSON.stringify(tool).length / 4)].reduce((a, b) => a + b)
    for (const format of ['openai', 'anthropic'] as const) {
      expect(demoTokens(format, bodies[format])).toBe(expected)
      for (const stream of [true, false]) {
        const meter = new ReplyMeter({ format, streaming: stream })
        let said = ''
        for (const { bytes } of demoReply(script, format, { ...bodies[format], stream }).pieces) {
          said += meter.push(Buffer.from(bytes)).text
        }
        said += meter.end().text
        expect(said).toBe('I think')
        expect(meter.usage?.input).toBe(expected)
        expect(meter.usage?.output).toBeGreaterThan(2)
      }
    }
  })

  it('sees the same turns in both formats', () => {
    const call = { id: 'c', type: 'function', function: { name: 'exec', arguments: '{"a":1}' } }
    const first = conversationOf('openai', {
      messages: [
        user('q'),
        { role: 'assistant', content: 'I think', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c', content: 'r1' },
      ],
    })
    const second = conversationOf('anthropic', {
      messages: [
        user('q'),
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'I think' },
            { type: 'tool_use', id: 'c', name: 'exec', input: { a: 1 } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: [{ type: 'text', text: 'r1' }] }] },
      ],
    })
    expect(second).toEqual(first)
    expect(first).toMatchObject({ turns: 1, user: 'q' })
  })

  it('says which field of a request is wrong', () => {
    const body = { model: 'demo', messages: [{ role: 'robot', content: 'x' }] }
    expect(() => demoReply(builtInDemo, 'openai', body)).toThrow(/messages\.0\.role/)
  })

  it('says so where no step holds', () => {
    const narrow = parseDemoScript('steps: [{ when: { turns: 3 }, reply: { text: x } }]')
    expect(() => demoReply(narrow, 'openai', openai([user('q')]))).toThrow(/no step of the demo script holds after 0/)
  })
})

describe('a demo script', () => {
  it.each([
    ['an unknown field', 'steps: [{ reply: { txt: hi } }]', 'steps[0].reply.txt'],
    ['a wrong type', 'steps: [{ reply: { text: hi, delayMs: soon } }]', 'steps[0].reply.delayMs'],
    ['no steps', 'steps: []', 'steps'],
    ['an empty reply', 'steps: [{ reply: {} }]', 'steps[0].reply'],
    ['an error beside a text', 'steps: [{ reply: { text: a, error: { status: 500, message: b } } }]', 'steps[0].reply'],
    ['an unknown value', 'steps: [{ reply: { text: "{{env.HOME}}" } }]', 'steps[0].reply.text'],
  ])('is refused with the path: %s', (_, yaml, field) => {
    expect(() => parseDemoScript(yaml)).toThrow(expect.objectContaining({ code: 'invalid', field }) as Error)
  })

  it('is refused with the line where it does not parse', () => {
    expect(() => parseDemoScript('steps:\n  - reply: {\n  text: [')).toThrow(/line [23]/)
    expect(() => parseDemoScript('steps:\n  - reply: { text: a }\n    reply: { text: b }')).toThrow(/line 3/)
  })

  it('does not grow by aliases', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) =>
        `l${i}: &l${i} [${
          i
            ? Array(9)
                .fill(`*l${i - 1}`)
                .join(',')
            : '1'
        }]`,
    )
    expect(() => parseDemoScript(levels.join('\n'))).toThrow(expect.objectContaining({ code: 'malformed' }) as Error)
  })
})

describe('globs of the demo script', () => {
  it.each([
    ['a*c', 'abbc', true],
    ['a*c', 'abbd', false],
    ['*', '', true],
    ['ab*ba', 'aba', false],
    ['*x*y*', 'axbyc', true],
    ['*x*y*', 'aybxc', false],
    ['same', 'same', true],
    ['a*\nb', 'a\n\nb', true],
  ])('%s on %s is %s', (glob, text, expected) => {
    expect(matches(glob, text)).toBe(expected)
  })
})
