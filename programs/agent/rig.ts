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
import { offerOf, type Performed, type ResultFile, resultFile, type TaskFile, type ToolRequest } from '#core/ipc'

export interface ChatRequest {
  url: string
  headers: IncomingMessage['headers']
  body: {
    model: string
    stream?: boolean
    stream_options?: object
    messages: { role: string; content: unknown; tool_calls?: unknown[]; tool_call_id?: string }[]
    tools?: { function: { name: string } }[]
  }
}

/** How the model's side answers one request. */
export type Reply = (response: ServerResponse, request: ChatRequest) => void

export interface Ended {
  code: number | null
  /** All that it printed. */
  output: string
  result: ResultFile | undefined
}

/**
 * An agent under test as a child process, between a scripted model that speaks the OpenAI format and the bridge's side
 * of /ipc. Any agent, in any language, is run the same way.
 */
export class Rig {
  readonly home = mkdtempSync(join(tmpdir(), 'k8sclaw-agent-'))
  readonly ipc = join(this.home, 'ipc')
  readonly requests: ChatRequest[] = []
  /** Each answers one model request, in order; one too many is refused. */
  replies: Reply[] = []
  readonly #argv: readonly string[]
  readonly #server: Server
  #child: ChildProcess | undefined
  #bridge: NodeJS.Timeout | undefined

  private constructor(argv: readonly string[]) {
    this.#argv = argv
    mkdirSync(join(this.ipc, 'input', 'results'), { recursive: true })
    this.#server = createServer((request, response) => {
      void bodyText(request).then((body) => {
        const asked = { url: request.url ?? '', headers: request.headers, body: JSON.parse(body) } as ChatRequest
        this.requests.push(asked)
        const reply = this.replies.shift() ?? refuses(418)
        reply(response, asked)
      })
    })
  }

  static async open(argv: readonly string[]): Promise<Rig> {
    const rig = new Rig(argv)
    await new Promise<void>((resolve) => rig.#server.listen(0, '127.0.0.1', resolve))
    return rig
  }

  async close(): Promise<void> {
    clearInterval(this.#bridge)
    // The group, because an agent that is killed cannot end what it started.
    const { pid, exitCode, signalCode } = this.#child ?? {}
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL')
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
    rmSync(this.home, { recursive: true, force: true })
  }

  /** Writes a file of /ipc as the bridge does. */
  write(path: string, value: unknown): void {
    writeFileSync(join(this.ipc, `${path}.tmp`), JSON.stringify(value))
    renameSync(join(this.ipc, `${path}.tmp`), join(this.ipc, path))
  }

  read(path: string): string {
    return readFileSync(join(this.ipc, path), 'utf8')
  }

  exists(path: string): boolean {
    return existsSync(join(this.ipc, path))
  }

  /** Takes each request away and answers it; returns the list of those it has seen. */
  answerCalls(perform: (request: ToolRequest) => Performed | undefined): ToolRequest[] {
    const seen: ToolRequest[] = []
    this.#bridge = setInterval(() => {
      const names = this.exists('tools') ? readdirSync(join(this.ipc, 'tools')) : []
      for (const name of names.filter((n) => /^[A-Za-z0-9_-]{1,64}\.json$/.test(n))) {
        const request = JSON.parse(this.read(`tools/${name}`)) as ToolRequest
        if (name !== `${request.id}.json`) throw new Error(`${name} holds the request ${request.id}`)
        rmSync(join(this.ipc, 'tools', name))
        seen.push(request)
        const answer = perform(request)
        if (answer) this.write(`input/results/${name}`, { id: request.id, ...answer })
      }
    }, 5)
    return seen
  }

  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Writes the task and runs the agent to its end. */
  async run(changes: Partial<TaskFile> = {}): Promise<Ended> {
    this.write('input/task.json', task(changes))
    return await this.start()
  }

  async start(env: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const base = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    const [command = '', ...args] = this.#argv
    const child = spawn(command, args, {
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
        HOME: this.home,
        TMPDIR: this.home,
        K8SCLAW_IPC_DIR: this.ipc,
        K8SCLAW_SKILLS_DIR: join(this.home, 'skills'),
        OPENAI_BASE_URL: `${base}/openai/v1`,
        ANTHROPIC_BASE_URL: `${base}/anthropic`,
        OPENAI_API_KEY: 'bridge-key',
        ANTHROPIC_API_KEY: 'bridge-key',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    this.#child = child
    let output = ''
    for (const pipe of [child.stdout, child.stderr]) {
      pipe.on('data', (data) => {
        output += String(data)
      })
    }
    return await new Promise((resolve) => {
      child.on('close', (code) => {
        const path = 'output/result.json'
        const result = this.exists(path) ? resultFile.parse(JSON.parse(this.read(path))) : undefined
        resolve({ code, output, result })
      })
    })
  }
}

export function task(changes: Partial<TaskFile> = {}): TaskFile {
  return {
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
  }
}

/** The model answers with a text. */
export function says(content: string, finish = 'stop'): Reply {
  return completion({ content }, finish)
}

/** The model calls tools; a text as input stands for arguments that may not be JSON. */
export function calls(...wanted: [tool: string, input: unknown][]): Reply {
  const toolCalls = wanted.map(([name, input], index) => ({
    index,
    id: `call/${name}:${index}`,
    type: 'function',
    function: { name, arguments: typeof input === 'string' ? input : JSON.stringify(input) },
  }))
  return completion({ content: null, tool_calls: toolCalls }, 'tool_calls')
}

/** The model's side answers with an error. */
export function refuses(status: number, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ error: { message: `refused with "${status}"`, type: 'x', code: 'x' } }))
  }
}

const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }

/** A chat completion as OpenAI's API reference has it, whole or in pieces as the request wants it. */
function completion(message: object, finish: string): Reply {
  return (response, { body }) => {
    const common = { id: 'chatcmpl-1', created: 1, model: body.model }
    if (!body.stream) {
      response.writeHead(200, { 'content-type': 'application/json' })
      const choices = [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: finish }]
      response.end(JSON.stringify({ ...common, object: 'chat.completion', choices, usage }))
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (data: object) =>
      response.write(`data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', ...data })}\n\n`)
    send({ choices: [{ index: 0, delta: { role: 'assistant', ...message }, finish_reason: null }] })
    send({ choices: [{ index: 0, delta: {}, finish_reason: finish }] })
    send({ choices: [], usage })
    response.end('data: [DONE]\n\n')
  }
}
