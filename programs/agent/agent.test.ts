import { type ChildProcess, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as bodyText } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AnswerFile, offerOf, type ResultFile, resultFile, type TaskFile, type ToolRequest } from '#core/ipc'

interface ChatRequest {
  url: string
  headers: IncomingMessage['headers']
  body: {
    model: string
    stream: boolean
    stream_options?: object
    system?: unknown
    messages: { role: string; content: unknown; tool_calls?: unknown[]; tool_call_id?: string }[]
    tools?: { function: { name: string } }[]
  }
}
type Chunk = { content?: string; tool_calls?: object[] }
type Reply = (response: ServerResponse) => void

let home: string
let ipc: string
let server: Server
let requests: ChatRequest[]
let replies: Reply[]
let child: ChildProcess | undefined
let bridge: NodeJS.Timeout | undefined

/** A streamed chat completion, as OpenAI's API reference has it. */
function stream(chunks: Chunk[], { finish = 'stop', tokens = 10 } = {}): Reply {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (data: object) =>
      response.write(
        `data: ${JSON.stringify({ id: 'c', created: 1, model: 'm', object: 'chat.completion.chunk', ...data })}\n\n`,
      )
    for (const delta of chunks)
      send({ choices: [{ index: 0, delta: { role: 'assistant', ...delta }, finish_reason: null }] })
    send({ choices: [{ index: 0, delta: {}, finish_reason: finish }] })
    send({ choices: [], usage: { prompt_tokens: tokens, completion_tokens: 5, total_tokens: tokens + 5 } })
    response.end('data: [DONE]\n\n')
  }
}
const says = (content: string, options?: object) => stream([{ content }], options)
const calls = (...wanted: [tool: string, input: unknown][]) =>
  stream(
    wanted.map(([name, input], index) => ({
      tool_calls: [
        {
          index,
          id: `call/${name}:${index}`,
          type: 'function',
          function: { name, arguments: typeof input === 'string' ? input : JSON.stringify(input) },
        },
      ],
    })),
    { finish: 'tool_calls' },
  )
const refuses =
  (status: number, headers: Record<string, string> = {}): Reply =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ error: { message: `refused with ${status}`, type: 'x', code: 'x' } }))
  }

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'k8sclaw-agent-'))
  ipc = join(home, 'ipc')
  mkdirSync(join(ipc, 'input', 'results'), { recursive: true })
  requests = []
  replies = []
  server = createServer((request, response) => {
    void bodyText(request).then((body) => {
      requests.push({ url: request.url ?? '', headers: request.headers, body: JSON.parse(body) })
      const reply = replies.shift() ?? refuses(418)
      reply(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  clearInterval(bridge)
  child?.kill('SIGKILL')
  child = undefined
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  rmSync(home, { recursive: true, force: true })
})

function write(path: string, value: unknown): void {
  writeFileSync(join(ipc, `${path}.tmp`), JSON.stringify(value))
  renameSync(join(ipc, `${path}.tmp`), join(ipc, path))
}

const task = (changes: Partial<TaskFile> = {}): TaskFile => ({
  version: 1,
  run: 'r',
  uid: 'u',
  namespace: 'team',
  instance: 'desk',
  agent: 'default',
  attempt: 1,
  task: 'say hello',
  model: { provider: 'openai', name: 'gpt' },
  history: [],
  tools: [offerOf('exec'), offerOf('read_file')],
  skills: [],
  files: [],
  limits: { timeoutSeconds: 60, maxSteps: 8, maxTokens: 100_000 },
  ...changes,
})

/** Plays the bridge's side of the files: takes each request away and answers it. */
function answerCalls(
  perform: (
    request: ToolRequest,
  ) => Omit<Extract<AnswerFile, { ok: true }>, 'id'> | Omit<Extract<AnswerFile, { ok: false }>, 'id'> | undefined,
) {
  const seen: ToolRequest[] = []
  bridge = setInterval(() => {
    if (!existsSync(join(ipc, 'tools'))) return
    for (const name of readdirSync(join(ipc, 'tools')).filter((n) => n.endsWith('.json'))) {
      const request = JSON.parse(readFileSync(join(ipc, 'tools', name), 'utf8')) as ToolRequest
      expect(name).toBe(`${request.id}.json`)
      rmSync(join(ipc, 'tools', name))
      seen.push(request)
      const answer = perform(request)
      if (answer) write(`input/results/${name}`, { id: request.id, ...answer })
    }
  }, 5)
  return seen
}

interface Ended {
  code: number | null
  stderr: string
  result: ResultFile | undefined
}

function start(env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  child = spawn(process.execPath, ['programs/agent/main.ts'], {
    env: {
      PATH: process.env.PATH,
      HOME: home,
      K8SCLAW_IPC_DIR: ipc,
      K8SCLAW_SKILLS_DIR: join(home, 'skills'),
      OPENAI_BASE_URL: `${base}/openai/v1`,
      ANTHROPIC_BASE_URL: `${base}/anthropic`,
      OPENAI_API_KEY: 'bridge-key',
      ANTHROPIC_API_KEY: 'bridge-key',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr?.on('data', (data) => {
    stderr += String(data)
  })
  child.stdout?.on('data', (data) => {
    stderr += String(data)
  })
  const path = join(ipc, 'output', 'result.json')
  return new Promise((resolve) => {
    child?.on('close', (code) => {
      const result = existsSync(path) ? resultFile.parse(JSON.parse(readFileSync(path, 'utf8'))) : undefined
      resolve({ code, stderr, result })
    })
  })
}

async function run(changes: Partial<TaskFile> = {}): Promise<Ended> {
  write('input/task.json', task(changes))
  return await start()
}

describe('the agent', () => {
  test('waits for a task that comes late, asks the model, and leaves its answer', async () => {
    replies = [says('hello')]
    const ended = start()
    await new Promise((resolve) => setTimeout(resolve, 300))
    write(
      'input/task.json',
      task({
        history: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      }),
    )
    expect(await ended).toEqual({ code: 0, stderr: '', result: { status: 'success', response: 'hello' } })
    const [{ url, headers, body } = {} as ChatRequest] = requests
    expect(url).toBe('/openai/v1/chat/completions')
    expect(headers.authorization).toBe('Bearer bridge-key')
    expect(body).toMatchObject({ model: 'gpt', stream: true, stream_options: { include_usage: true } })
    expect(body.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant', 'user'])
    expect(body.messages.at(-1)?.content).toBe('say hello')
    expect(body.tools?.map((t) => t.function.name)).toEqual(['exec', 'read_file'])
  })

  test('has tools performed through files, several at once, and reads answers in any order', async () => {
    replies = [calls(['exec', { script: 'a' }], ['exec', { script: 'b' }]), says('done')]
    const seen = answerCalls((request) => {
      // The first is answered only once the second is there.
      if (seen.length < 2) return undefined
      write(`input/results/${seen[0]?.id}.json`, {
        id: seen[0]?.id,
        ok: true,
        output: { exitCode: 0, stdout: 'first' },
      })
      return { ok: false, error: { code: 'denied', message: `no ${request.tool} b` } }
    })
    expect((await run()).result).toEqual({ status: 'success', response: 'done' })
    expect(seen.map(({ tool, input }) => ({ tool, input }))).toEqual([
      { tool: 'exec', input: { script: 'a' } },
      { tool: 'exec', input: { script: 'b' } },
    ])
    const messages = requests[1]?.body.messages ?? []
    expect(messages.slice(-3).map((m) => [m.role, m.tool_call_id, m.content])).toEqual([
      ['assistant', undefined, messages.at(-3)?.content],
      ['tool', 'call/exec:0', '{"exitCode":0,"stdout":"first"}'],
      ['tool', 'call/exec:1', 'denied: no exec b'],
    ])
  })

  test('tells the model of calls that are none: unknown tools and arguments that are not JSON', async () => {
    replies = [calls(['launch', {}], ['exec', '{"script":']), says('sorry')]
    expect((await run()).result).toEqual({ status: 'success', response: 'sorry' })
    const answers = requests[1]?.body.messages.filter((m) => m.role === 'tool').map((m) => m.content)
    expect(answers).toHaveLength(2)
    expect(answers?.every((a) => String(a).startsWith('invalid_input: '))).toBe(true)
    expect(existsSync(join(ipc, 'tools'))).toBe(false)
  })

  test('names its skills to the model and reads one when asked', async () => {
    mkdirSync(join(home, 'skills'))
    writeFileSync(join(home, 'skills', 'git.md'), '# Rebase')
    const skills = [{ name: 'git', description: 'how to rebase', path: '/elsewhere/git.md' }]
    replies = [calls(['read_skill', { name: 'git' }], ['read_skill', { name: '../x' }]), says('ok')]
    expect((await run({ skills, systemPrompt: 'Be brief.' })).result).toEqual({ status: 'success', response: 'ok' })
    expect(requests[0]?.body.messages[0]?.content).toContain('Be brief.')
    expect(requests[0]?.body.messages[0]?.content).toContain('- git: how to rebase')
    expect(requests[1]?.body.messages.slice(-2).map((m) => m.content)).toEqual([
      '# Rebase',
      'invalid_input: there is no skill of that name',
    ])
  })

  test('cuts a long output with a note', async () => {
    replies = [calls(['exec', { script: 'yes' }]), says('ok')]
    answerCalls(() => ({ ok: true, output: 'y\n'.repeat(100_000), truncated: true }))
    expect((await run()).result?.status).toBe('success')
    const content = String(requests[1]?.body.messages.at(-1)?.content)
    expect(content.length).toBeLessThan(33_000)
    expect(content).toContain('characters left out')
    expect(content).toContain('the output was longer')
  })

  test('speaks the format of Anthropic to anthropic', async () => {
    const event = (type: string, data: object) => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`
    replies = [
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
    expect((await run({ model: { provider: 'anthropic', name: 'claude' } })).result).toEqual({
      status: 'success',
      response: 'bonjour',
    })
    expect(requests[0]?.url).toBe('/anthropic/v1/messages')
    expect(requests[0]?.headers['x-api-key']).toBe('bridge-key')
  })
})

describe('limits and ends', () => {
  test('cancel.json ends it within a call, with a result that says so', async () => {
    replies = [calls(['exec', { script: 'sleep 100' }])]
    answerCalls(() => {
      write('input/cancel.json', { reason: 'no longer wanted', graceSeconds: 5 })
      return undefined
    })
    expect(await run()).toEqual({
      code: 0,
      stderr: '',
      result: { status: 'error', error: { code: 'cancelled', message: 'no longer wanted' } },
    })
  })

  test('its own time ends it while the model is silent', async () => {
    replies = [() => {}]
    const limits = { timeoutSeconds: 1, maxSteps: 8, maxTokens: 1000 }
    expect((await run({ limits })).result).toEqual({
      status: 'error',
      error: { code: 'timeout', message: 'not done after 1 s' },
    })
  })

  test('it stops after its steps', async () => {
    replies = [calls(['exec', {}]), calls(['exec', {}]), says('never asked')]
    answerCalls(() => ({ ok: true, output: '' }))
    const limits = { timeoutSeconds: 60, maxSteps: 2, maxTokens: 1000 }
    expect((await run({ limits })).result).toMatchObject({ status: 'error', error: { code: 'max_steps' } })
    expect(requests).toHaveLength(2)
  })

  test('it stops after its tokens, and a last answer still counts', async () => {
    const limits = { timeoutSeconds: 60, maxSteps: 9, maxTokens: 15 }
    replies = [calls(['exec', {}])]
    expect((await run({ limits })).result).toMatchObject({ status: 'error', error: { code: 'max_tokens' } })
    rmSync(join(ipc, 'output'), { recursive: true })
    replies = [says('in time')]
    expect((await run({ limits })).result).toEqual({ status: 'success', response: 'in time' })
  })

  test('an answer that hit the length limit is no success', async () => {
    replies = [says('once upon', { finish: 'length' })]
    expect((await run()).result).toMatchObject({ status: 'error', response: 'once upon', error: { code: 'length' } })
  })

  test('run_ended from the boundary ends it', async () => {
    replies = [calls(['exec', {}])]
    answerCalls(() => ({ ok: false, error: { code: 'run_ended', message: 'the run has an outcome' } }))
    expect((await run()).result).toMatchObject({ status: 'error', error: { message: 'the run has an outcome' } })
  })

  test('a failure that may pass is tried again and said', async () => {
    replies = [refuses(503), (response) => response.destroy(), says('at last')]
    expect((await run()).result).toEqual({ status: 'success', response: 'at last' })
    const events = readFileSync(join(ipc, 'output', 'events.jsonl'), 'utf8')
      .trim()
      .split('\n')
    expect(events.map((line) => JSON.parse(line).type)).toEqual(['status', 'status'])
  })

  test.each([
    ['a refusal that says not to come back', refuses(429, { 'x-should-retry': 'false' })],
    ['a refusal of the provider', refuses(400)],
  ])('%s is not tried again', async (_, reply) => {
    replies = [reply, says('never asked')]
    expect((await run()).result).toMatchObject({ status: 'error', error: { code: 'failed' } })
    expect(requests).toHaveLength(1)
  })

  test('an answer larger than a result may be is cut', async () => {
    replies = [says('\u0001'.repeat(200_000))]
    const { result } = await run()
    expect(result).toMatchObject({ status: 'success', response: expect.stringContaining('has been cut') })
  })

  test('a task that is not of the contract is one clear sentence', async () => {
    write('input/task.json', { ...task(), version: 2 })
    expect(await start()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('task.json: version'),
      result: undefined,
    })
  })

  test('a missing variable is one clear sentence', async () => {
    expect(await start({ OPENAI_BASE_URL: undefined })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^k8sclaw-agent: OPENAI_BASE_URL: .*\n$/),
    })
  })
})
