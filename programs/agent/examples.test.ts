import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { calls, Rig, refuses, says } from './rig.ts'

describe.each([
  ['sh', 'examples/agents/sh/agent.sh', ['/bin/sh']],
  ['python', 'examples/agents/python/agent.py', ['python3']],
])('the example in %s', (_, file, interpreter) => {
  let rig: Rig
  beforeEach(async () => {
    rig = await Rig.open([...interpreter, file])
  })
  afterEach(() => rig.close())

  test('has fewer than 80 lines', () => {
    expect(readFileSync(file, 'utf8').trimEnd().split('\n').length).toBeLessThan(80)
  })

  // Everything that a careless reading of JSON trips over.
  const nasty = 'a "quoted" \\ line\nwith\ttabs, "task":"x", $HOME `id` %s ünïcödé \u{1f980} \\n \\" \\\\'

  test('hands the task on as it is, letter by letter, and the answer back', async () => {
    rig.replies = [says(nasty)]
    const { code, output, result } = await rig.run({ task: nasty, systemPrompt: `be ${nasty}`, tools: [] })
    expect({ code, output, result }).toEqual({ code: 0, output: '', result: { status: 'success', response: nasty } })
    expect(rig.requests[0]?.headers.authorization).toBe('Bearer bridge-key')
    expect(rig.requests[0]?.body).toEqual({
      model: 'gpt',
      messages: [
        { role: 'system', content: `be ${nasty}` },
        { role: 'user', content: nasty },
      ],
    })
  })

  test('has a command run through the platform and tells the model what came of it', async () => {
    rig.replies = [calls(['exec', { script: nasty }]), says('done')]
    const output = { exitCode: 0, stdout: nasty }
    const seen = rig.answerCalls(() => ({ ok: true, output }))
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'done' })
    expect(seen).toMatchObject([{ tool: 'exec', input: { script: nasty } }])
    expect(rig.requests[0]?.body.tools?.[0]?.function.name).toBe('exec')
    const [, assistant, tool] = rig.requests[1]?.body.messages ?? []
    expect(assistant?.tool_calls).toMatchObject([
      { id: 'call/exec:0', function: { arguments: JSON.stringify({ script: nasty }) } },
    ])
    expect(tool).toMatchObject({ role: 'tool', tool_call_id: 'call/exec:0' })
    expect(JSON.stringify(JSON.parse(String(tool?.content)))).toContain(JSON.stringify(output))
  })

  test('goes on after a refused call', async () => {
    rig.replies = [calls(['exec', { script: 'x' }]), calls(['exec', { script: 'y' }]), says('well')]
    rig.answerCalls(() => ({ ok: false, error: { code: 'denied', message: 'feature gate code-execution is off' } }))
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'well' })
    expect(String(rig.requests[2]?.body.messages.at(-1)?.content)).toContain('code-execution is off')
  })

  test('says what a model that answers with an error said', async () => {
    rig.replies = [refuses(403)]
    const { code, result } = await rig.run()
    expect(code).toBe(0)
    expect(result).toMatchObject({ status: 'error', error: { code: 'model' } })
    expect(result?.status === 'error' && result.error.message).toContain('refused with')
  })

  test('says so when there is no model at all', async () => {
    rig.replies = [(response) => response.destroy()]
    expect((await rig.run()).result).toMatchObject({ status: 'error' })
  })

  test.each(['while the model is silent', 'while a call is under way'])('is cancelled %s', async (when) => {
    const cancel = () => rig.write('input/cancel.json', { reason: 'no longer wanted', graceSeconds: 5 })
    rig.replies = when === 'while the model is silent' ? [cancel] : [calls(['exec', { script: 'sleep 100' }])]
    rig.answerCalls(() => {
      cancel()
      return undefined
    })
    const { code, result } = await rig.run()
    expect(code).toBe(0)
    expect(result).toMatchObject({ status: 'error', error: { code: 'cancelled' } })
  })
})
