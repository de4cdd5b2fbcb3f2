import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MeterOptions, ReplyMeter } from './meter.ts'

const sse = (...data: unknown[]) =>
  data.map((d) => `data: ${typeof d === 'string' ? d : JSON.stringify(d)}\n\n`).join('')

function run(options: MeterOptions, text: string, step = text.length) {
  const meter = new ReplyMeter(options)
  const bytes = Buffer.from(text)
  let said = ''
  const passed: Uint8Array[] = []
  const take = ({ text: t, pass }: { text: string; pass: Uint8Array[] }) => {
    said += t
    passed.push(...pass)
  }
  for (let i = 0; i < bytes.length; i += step) take(meter.push(bytes.subarray(i, i + step)))
  take(meter.end())
  return { said, usage: meter.usage, passed: Buffer.concat(passed).toString() }
}

const delta = (content: string | null) => ({ choices: [{ index: 0, delta: { content } }], usage: null })
const closing = { choices: [], usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 } }

describe('the meter of replies', () => {
  it('reads text and usage of a streamed chat completion and passes every byte', () => {
    const text = sse(delta(null), delta('Grüß '), delta('dich'), closing, '[DONE]')
    expect(run({ format: 'openai', streaming: true }, text, 3)).toEqual({
      said: 'Grüß dich',
      usage: { input: 12, output: 3 },
      passed: text,
    })
  })

  it('withholds the usage chunk that the client did not ask for, and nothing else', () => {
    const filter = { prompt_filter_results: [], choices: [] }
    const text = sse(filter, delta('a'), closing, '[DONE]')
    const { passed, usage } = run({ format: 'openai', streaming: true, withholdUsage: true }, text, 5)
    expect(passed).toBe(sse(filter, delta('a'), '[DONE]'))
    expect(usage).toEqual({ input: 12, output: 3 })
  })

  it('takes only the first choice as the text of the run', () => {
    const text = sse({ choices: [{ index: 1, delta: { content: 'no' } }] }, delta('yes'))
    expect(run({ format: 'openai', streaming: true }, text).said).toBe('yes')
  })

  it('reads the cumulative usage of a messages stream, the cache included', () => {
    const usage = { input_tokens: 10, cache_read_input_tokens: 5, cache_creation_input_tokens: 2, output_tokens: 1 }
    const text = sse(
      { type: 'message_start', message: { usage } },
      { type: 'ping' },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{}' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } },
      { type: 'message_stop' },
    )
    expect(run({ format: 'anthropic', streaming: true }, text, 7)).toEqual({
      said: 'Hi',
      usage: { input: 17, output: 7 },
      passed: text,
    })
  })

  it('believes no count that no model can reach, so that sums stay exact, and none that is no count', () => {
    const most = Number.MAX_SAFE_INTEGER
    const openai = (usage: object) => run({ format: 'openai', streaming: false }, JSON.stringify({ usage })).usage
    expect(openai({ prompt_tokens: most, completion_tokens: most })).toEqual({ input: 1e9, output: 1e9 })
    for (const wrong of [-1, 1.5, null, '7', 1e300])
      expect(openai({ prompt_tokens: wrong, completion_tokens: 1 })).toBeUndefined()
    const usage = { input_tokens: most, cache_read_input_tokens: most, output_tokens: most }
    const anthropic = run({ format: 'anthropic', streaming: false }, JSON.stringify({ content: [], usage }))
    expect(anthropic.usage).toEqual({ input: 1e9, output: 1e9 })
  })

  it('knows what a broken-off messages stream has cost so far', () => {
    const text = sse({ type: 'message_start', message: { usage: { input_tokens: 10, output_tokens: 1 } } })
    expect(run({ format: 'anthropic', streaming: true }, text).usage).toEqual({ input: 10, output: 1 })
  })

  it('reads whole documents of both formats', () => {
    const openai = { choices: [{ message: { content: 'yes' } }], usage: { prompt_tokens: 4, completion_tokens: 1 } }
    const anthropic = {
      content: [
        { type: 'text', text: 'y' },
        { type: 'tool_use', id: '1' },
        { type: 'text', text: 'es' },
      ],
      usage: { input_tokens: 4, output_tokens: 1 },
    }
    for (const [format, body] of [['openai', openai] as const, ['anthropic', anthropic] as const]) {
      const { said, usage } = run({ format, streaming: false }, JSON.stringify(body), 11)
      expect({ said, usage }).toEqual({ said: 'yes', usage: { input: 4, output: 1 } })
    }
  })

  it('reads and passes the same, wherever the bytes are cut', () => {
    const filter = { prompt_filter_results: [], choices: [] }
    const text = sse(filter, delta('Grüß '), delta('dich 😀'), closing, '[DONE]').replaceAll('\n', '\r\n')
    const bytes = Buffer.from(text)
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.nat({ max: bytes.length })), (withholdUsage, places) => {
        const meter = new ReplyMeter({ format: 'openai', streaming: true, withholdUsage })
        const cuts = [0, ...places.sort((a, b) => a - b), bytes.length]
        const reads = cuts.slice(1).map((end, i) => meter.push(bytes.subarray(cuts[i], end)))
        reads.push(meter.end())
        expect(reads.map((r) => r.text).join('')).toBe('Grüß dich 😀')
        expect(meter.usage).toEqual({ input: 12, output: 3 })
        const passed = Buffer.concat(reads.flatMap((r) => r.pass)).toString()
        expect(passed).toBe(withholdUsage ? text.replace(/data: [^\r]*completion_tokens":3[^\r]*\r\n\r\n/, '') : text)
      }),
    )
  })

  it('holds a document back until it is whole', () => {
    const meter = new ReplyMeter({ format: 'openai', streaming: false })
    expect(meter.push(Buffer.from('{"choices":[],'))).toEqual({ text: '', pass: [] })
    meter.push(Buffer.from('"usage":null}'))
    expect(Buffer.concat(meter.end().pass).toString()).toBe('{"choices":[],"usage":null}')
  })

  it('passes on what it cannot read, and counts nothing', () => {
    for (const streaming of [true, false]) {
      for (const text of [
        '<html>',
        sse('not json', { choices: 'no', usage: { prompt_tokens: -1 } }),
        '{"usage":7}',
        '',
      ]) {
        expect(run({ format: 'openai', streaming }, text)).toEqual({ said: '', usage: undefined, passed: text })
      }
    }
  })
})
