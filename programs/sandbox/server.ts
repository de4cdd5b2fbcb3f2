import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import * as z from 'zod'
import { errorMessage } from '#core/errors'
import { firstIssue, limits, type Performed, parseStrictJson, type ToolName, tools } from '#core/ipc'
import { findBins } from './bins.ts'
import { exec } from './exec.ts'
import { editFile, readFile, writeFile } from './files.ts'
import { Refusal } from './refusal.ts'
import { listFiles, searchFiles } from './search.ts'
import { transfer } from './transfer.ts'
import type { Workspace } from './workspace.ts'

export interface SandboxOptions {
  socket: string
  workspace: Workspace
  /** The whole environment of commands. */
  env: Record<string, string>
}

export interface Sandbox {
  /** Stops what runs, with the processes it started, and then listening. */
  close(): Promise<void>
}

/** `POST /call` {tool, input} gives the tool's answer; hanging up before it has come stops the call. */
const request = z.object({ tool: z.enum(Object.keys(tools) as [ToolName, ...ToolName[]]), input: z.unknown() })

/** `POST /bins` {names} gives {present}: which of these programs a command would find. */
const binsRequest = z.object({ names: z.array(z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$/)).max(32_768) })

/** Serves the tools on a Unix socket that only its user and group may connect to. */
export async function serveSandbox(options: SandboxOptions): Promise<Sandbox> {
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  const server = createServer((incoming, response) => {
    const call = respond(incoming, response, options, stopping.signal).finally(() => running.delete(call))
    running.add(call)
  })
  // A socket file left by a killed predecessor would stop listen().
  rmSync(options.socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.socket, resolve)
  })
  chmodSync(options.socket, 0o660)
  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      stopping.abort()
      await Promise.all(running)
      server.closeAllConnections()
      await closed
    },
  }
}

async function respond(
  incoming: IncomingMessage,
  response: ServerResponse,
  options: SandboxOptions,
  stopping: AbortSignal,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    if (incoming.method === 'GET' && incoming.url === '/healthz') return send(response, 200, { ok: true })
    if (incoming.method === 'POST' && incoming.url === '/bins') {
      const { names } = binsRequest.parse(parseStrictJson(await body(incoming)))
      return send(response, 200, { present: await findBins(names, options.env.PATH ?? '') })
    }
    if (/^(?:PUT|GET)$/.test(incoming.method ?? '') && incoming.url?.startsWith('/file?'))
      return await transfer(incoming, response, options.workspace)
    if (incoming.method !== 'POST' || incoming.url !== '/call') return send(response, 404, { error: 'not found' })
    const { tool, input } = request.parse(parseStrictJson(await body(incoming)))
    const answer = await perform(tool, input, options, AbortSignal.any([gone.signal, stopping]))
    send(response, 200, answer)
  } catch (error) {
    send(response, 400, { error: errorMessage(error) })
  }
}

/** The answer of one tool; never throws. */
export async function perform(
  tool: ToolName,
  input: unknown,
  { workspace, env }: Pick<SandboxOptions, 'workspace' | 'env'>,
  signal: AbortSignal,
): Promise<Performed> {
  try {
    switch (tool) {
      case 'exec':
        return await exec(parse(tools.exec.input, input), { workspace, env, signal })
      case 'read_file':
        return readFile(workspace, parse(tools.read_file.input, input))
      case 'write_file':
        return writeFile(workspace, parse(tools.write_file.input, input))
      case 'edit_file':
        return editFile(workspace, parse(tools.edit_file.input, input))
      case 'list_files':
        return await listFiles(workspace, parse(tools.list_files.input, input), signal)
      case 'search_files':
        return await searchFiles(workspace, parse(tools.search_files.input, input), signal)
      // Performed by the bridge, which takes the file out whole, and by whoever holds the database.
      case 'send_file':
      case 'memory_store':
      case 'memory_search':
      case 'memory_forget':
        throw new Refusal('unknown_tool', `${tool} is not performed here`)
    }
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal('failed', errorMessage(error), { cause: error })
    return refusal.answer
  }
}

function parse<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input)
  if (!parsed.success) throw new Refusal('invalid_input', firstIssue(parsed.error), { cause: parsed.error })
  return parsed.data
}

/** A request is at most one /ipc file and what wraps it. */
async function body(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= 2 * limits.fileBytes) chunks.push(chunk)
    else chunks.length = 0
  }
  // Read to its end first: an answer to a caller that still sends would be lost.
  if (length > 2 * limits.fileBytes) throw new Error('the request is too large')
  return Buffer.concat(chunks)
}

function send(response: ServerResponse, status: number, answer: unknown): void {
  if (response.destroyed) return
  const text = JSON.stringify(answer)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
