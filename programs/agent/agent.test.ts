import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ChatRequest, calls, Rig, refuses, says, task } from './rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await Rig.open([process.execPath, 'programs/agent/main.ts'])
})
afterEach(() => rig.close())

describe('the agent', () => {
  test('waits for a task that comes late, asks the model, and leaves its answer', async () => {
    rig.replies = [says('hello')]
    const ended = rig.start()
    await new Promise((resolve) => setTimeout(resolve, 300))
    rig.write(
      'input/task.json',
      task({
        history: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      }),
    )
    expect(await ended).toEqual({ code: 0, output: '', result: { status: 'success', response: 'hello' } })
    const [{ url, headers, body } = {} as ChatRequest] = rig.requests
    expect(url).toBe('/openai/v1/chat/completions')
    expect(headers.authorization).toBe('Bearer bridge-key')
    expect(body).toMatchObject({ model: 'gpt', stream: true, stream_options: { include_usage: true } })
    expect(body.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant', 'user'])
    expect(body.messages.at(-1)?.content).toBe('say hello')
    expect(body.tools?.map((t) => t.function.name)).toEqual(['exec', 'read_file'])
  })

  test('has tools performed through files, several at once, and reads answers in any order', async () => {
    rig.replies = [calls(['exec', { script: 'a' }], ['exec', { script: 'b' }]), says('done')]
    const seen = rig.answerCalls((request) => {
      // The first is answered only once the second is there.
      if (seen.length < 2) return undefined
      rig.write(`input/results/${seen[0]?.id}.json`, {
        id: seen[0]?.id,
        ok: true,
        output: { exitCode: 0, stdout: 'first' },
      })
      return { ok: false, error: { code: 'denied', message: `no ${request.tool} b` } }
    })
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'done' })
    expect(seen.map(({ tool, input }) => ({ tool, input }))).toEqual([
      { tool: 'exec', input: { script: 'a' } },
      { tool: 'exec', input: { script: 'b' } },
    ])
    const messages = rig.requests[1]?.body.messages ?? []
    expect(messages.slice(-3).map((m) => [m.role, m.tool_call_id, m.content])).toEqual([
      ['assistant', undefined, messages.at(-3)?.content],
      ['tool', 'call/exec:0', '{"exitCode":0,"stdout":"first"}'],
      ['tool', 'call/exec:1', 'denied: no exec b'],
    ])
  })

  test('takes up what is said meanwhile at its next step, and leaves alone what comes behind its last', async () => {
    rig.replies = [calls(['exec', { script: 'a' }]), says('done')]
    const say = (number: number, text: string) =>
      rig.write(`input/followup-${number}.json`, { type: 'message', text, from: 'chat/U1' })
    const seen = rig.answerCalls(({ tool }) => {
      if (tool === 'take_followup') return { ok: true, output: {} }
      say(1, 'and be quick')
      say(2, 'please')
      return { ok: true, output: 'a' }
    })
    rig.replies[1] = (response, request) => {
      say(3, 'too late')
      says('done')(response, request)
    }
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'done' })
    expect(seen.slice(1)).toEqual([
      { id: 'followup-1', tool: 'take_followup', input: { number: 1 } },
      { id: 'followup-2', tool: 'take_followup', input: { number: 2 } },
    ])
    const messages = rig.requests[1]?.body.messages ?? []
    expect(messages.slice(-3).map(({ role, content }) => [role, content])).toEqual([
      ['tool', 'a'],
      ['user', 'and be quick'],
      ['user', 'please'],
    ])
    expect(rig.requests[0]?.body.tools?.map((t) => t.function.name)).not.toContain('take_followup')
  })

  test('does not use what the boundary does not give it', async () => {
    rig.replies = [says('done')]
    rig.write('input/followup-1.json', { type: 'message', text: 'not yours', from: 'chat/U1' })
    rig.answerCalls(() => ({ ok: false, error: { code: 'invalid_input', message: 'no' } }))
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'done' })
    expect(JSON.stringify(rig.requests[0]?.body.messages)).not.toContain('not yours')
  })

  test('tells the model of a call that is none: arguments that are not JSON', async () => {
    rig.replies = [calls(['exec', '{"script":']), says('sorry')]
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'sorry' })
    const answers = rig.requests[1]?.body.messages.filter((m) => m.role === 'tool').map((m) => String(m.content))
    expect(answers).toEqual([expect.stringMatching(/^invalid_input: /)])
    expect(rig.exists('tools')).toBe(false)
  })

  test('lets the boundary judge a tool that was not offered', async () => {
    rig.replies = [calls(['launch', { where: 'to' }], ['launch', '{"where":']), says('sorry')]
    const seen = rig.answerCalls(() => ({ ok: false, error: { code: 'denied', message: 'rule deny launch' } }))
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'sorry' })
    expect(seen.map(({ tool, input }) => ({ tool, input }))).toEqual([
      { tool: 'launch', input: { where: 'to' } },
      { tool: 'launch', input: '{"where":' },
    ])
    const answers = rig.requests[1]?.body.messages.filter((m) => m.role === 'tool').map((m) => m.content)
    expect(answers).toEqual(['denied: rule deny launch', 'denied: rule deny launch'])
  })

  test('names its skills to the model and reads one when asked', async () => {
    mkdirSync(join(rig.home, 'skills'))
    writeFileSync(join(rig.home, 'skills', 'git.md'), '# Rebase')
    const skills = [{ name: 'git', description: 'how to rebase', path: '/elsewhere/git.md' }]
    rig.replies = [calls(['read_skill', { name: 'git' }], ['read_skill', { name: '../x' }]), says('ok')]
    expect((await rig.run({ skills, systemPrompt: 'Be brief.' })).result).toEqual({ status: 'success', response: 'ok' })
    expect(rig.requests[0]?.body.messages[0]?.content).toContain('Be brief.')
    expect(rig.requests[0]?.body.messages[0]?.content).toContain('- git: how to rebase')
    expect(rig.requests[1]?.body.messages.slice(-2).map((m) => m.content)).toEqual([
      '# Rebase',
      'invalid_input: there is no skill of that name',
    ])
  })

  test('cuts a long output with a note', async () => {
    rig.replies = [calls(['exec', { script: 'yes' }]), says('ok')]
    rig.answerCalls(() => ({ ok: true, output: 'y\n'.repeat(100_000), truncated: true }))
    expect((await rig.run()).result?.status).toBe('success')
    const content = String(rig.requests[1]?.body.messages.at(-1)?.content)
    expect(content.length).toBeLessThan(33_000)
    expect(content).toContain('characters left out')
    expect(content).toContain('the output was longer')
  })

  test('speaks the format of Anthropic to anthropic', async () => {
    const event = (type: string, data: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`
    rig.replies = [
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        const message = {
          id: 'm',
          type: 'message',
          role: 'assistant',
          model: 'claude',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 3, output_tokens: 1 },
        }
        response.end(
          event('message_start', { message }) +
            event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) +
            event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'bonjour' } }) +
            event('content_block_stop', { index: 0 }) +
            event('message_delta', {
              delta: { stop_reason: 'end_turn', stop_sequence: null },
              usage: { output_tokens: 2 },
            }) +
            event('message_stop', {}),
        )
      },
    ]
    expect((await rig.run({ model: { provider: 'anthropic', name: 'claude' } })).result).toEqual({
      status: 'success',
      response: 'bonjour',
    })
    expect(rig.requests[0]?.url).toBe('/anthropic/v1/messages')
    expect(rig.requests[0]?.headers['x-api-key']).toBe('bridge-key')
  })
})

describe('limits and ends', () => {
  test('cancel.json ends it within a call, with a result that says so', async () => {
    rig.replies = [calls(['exec', { script: 'sleep 100' }])]
    rig.answerCalls(() => {
      rig.write('input/cancel.json', { reason: 'no longer wanted', graceSeconds: 5 })
      return undefined
    })
    expect(await rig.run()).toEqual({
      code: 0,
      output: '',
      result: { status: 'error', error: { code: 'cancelled', message: 'no longer wanted' } },
    })
  })

  test('its own time ends it while the model is silent', async () => {
    rig.replies = [() => {}]
    const limits = { timeoutSeconds: 1, maxSteps: 8, maxTokens: 1000 }
    expect((await rig.run({ limits })).result).toEqual({
      status: 'error',
      error: { code: 'timeout', message: 'not done after 1 s' },
    })
  })

  test('it stops after its steps', async () => {
    rig.replies = [calls(['exec', {}]), calls(['exec', {}]), says('never asked')]
    rig.answerCalls(() => ({ ok: true, output: '' }))
    const limits = { timeoutSeconds: 60, maxSteps: 2, maxTokens: 1000 }
    expect((await rig.run({ limits })).result).toMatchObject({ status: 'error', error: { code: 'max_steps' } })
    expect(rig.requests).toHaveLength(2)
  })

  test('it stops after its tokens, and a last answer still counts', async () => {
    const limits = { timeoutSeconds: 60, maxSteps: 9, maxTokens: 15 }
    rig.replies = [calls(['exec', {}])]
    expect((await rig.run({ limits })).result).toMatchObject({ status: 'error', error: { code: 'max_tokens' } })
    rmSync(join(rig.ipc, 'output'), { recursive: true })
    rig.replies = [says('in time')]
    expect((await rig.run({ limits })).result).toEqual({ status: 'success', response: 'in time' })
  })

  test('an answer that hit the length limit is no success', async () => {
    rig.replies = [says('once upon', 'length')]
    expect((await rig.run()).result).toMatchObject({
      status: 'error',
      response: 'once upon',
      error: { code: 'length' },
    })
  })

  test('run_ended from the boundary ends it', async () => {
    rig.replies = [calls(['exec', {}])]
    rig.answerCalls(() => ({ ok: false, error: { code: 'run_ended', message: 'the run has an outcome' } }))
    expect((await rig.run()).result).toMatchObject({ status: 'error', error: { message: 'the run has an outcome' } })
  })

  test('a failure that may pass is tried again and said', async () => {
    rig.replies = [refuses(503), (response) => response.destroy(), says('at last')]
    expect((await rig.run()).result).toEqual({ status: 'success', response: 'at last' })
    const events = rig.read('output/events.jsonl').trim().split('\n')
    expect(events.map((line) => JSON.parse(line).type)).toEqual(['status', 'status'])
  })

  test.each([
    ['a refusal that says not to come back', refuses(429, { 'x-should-retry': 'false' })],
    ['a refusal of the provider', refuses(400)],
  ])('%s is not tried again', async (_, reply) => {
    rig.replies = [reply, says('never asked')]
    expect((await rig.run()).result).toMatchObject({ status: 'error', error: { code: 'failed' } })
    expect(rig.requests).toHaveLength(1)
  })

  test('an answer larger than a result may be is cut', async () => {
    rig.replies = [says('\u0001'.repeat(200_000))]
    const { result } = await rig.run()
    expect(result).toMatchObject({ status: 'success', response: expect.stringContaining('has been cut') })
  })

  test('a task that is not of the contract is one clear sentence', async () => {
    rig.write('input/task.json', { ...task(), version: 2 })
    expect(await rig.start()).toMatchObject({
      code: 1,
      output: expect.stringContaining('task.json: version'),
      result: undefined,
    })
  })

  test('SIGTERM ends it at once, with no result', async () => {
    rig.replies = [() => rig.kill('SIGTERM')]
    expect(await rig.run()).toEqual({ code: 143, output: '', result: undefined })
  })

  test('a missing variable is one clear sentence', async () => {
    expect(await rig.start({ OPENAI_BASE_URL: undefined })).toMatchObject({
      code: 2,
      output: expect.stringMatching(/^k8sclaw-agent: the environment variable OPENAI_BASE_URL is not set\n$/),
    })
  })
})
