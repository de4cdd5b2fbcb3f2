import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { limits, parseStrictJson, performed as performedSchema, type ToolName } from '#core/ipc'
import { notOk, type Performed } from './boundary.ts'
import type { PerformTool } from './tool-calls.ts'

/** Longest answer: the text of one, escaped six times over, and what wraps it. */
const maxAnswerBytes = 8 * limits.outputBytes
/** How long a sandbox may take to start, or to start again. */
const connectMs = 15_000
const retryMs = 100
/** How long after its own time limit a tool may still be about to answer. */
const slackMs = 30_000

/**
 * Performs tools in the sandbox over its Unix socket. A sandbox that cannot be reached has performed nothing; one that
 * breaks off once it was told may have, so the call is in doubt. Nothing the sandbox says is trusted beyond being an
 * answer: what runs in it may have taken it over.
 */
export function sandboxPerformer(socketPath: string): PerformTool {
  return async (tool, input, signal) => {
    const body = JSON.stringify({ tool, input })
    const end = performance.now() + connectMs
    for (;;) {
      const reply = await ask(
        socketPath,
        '/call',
        body,
        AbortSignal.any([signal, AbortSignal.timeout(limitOf(tool, input))]),
      )
      if (reply.kind === 'answer') return readAnswer(reply.bytes)
      if (reply.kind === 'broken') return { answer: notOk('in_doubt', `the sandbox broke off: ${reply.why}`) }
      if (performance.now() > end || signal.aborted)
        return { answer: notOk('failed', `the sandbox cannot be reached: ${reply.why}`) }
      await sleep(retryMs)
    }
  }
}

/** Which of some programs the sandbox has. */
export type FindBins = (names: readonly string[]) => Promise<ReadonlySet<string>>

const binsAnswer = z.object({ present: z.array(z.string()) })

/** Asks the sandbox; where there is none, or none that answers in its time to start, it has no program. */
export function binsOfSandbox(socketPath: string | undefined): FindBins {
  return async (names) => {
    if (socketPath === undefined) return new Set()
    const body = JSON.stringify({ names })
    const end = performance.now() + connectMs
    for (;;) {
      const reply = await ask(socketPath, '/bins', body, AbortSignal.timeout(connectMs))
      if (reply.kind === 'answer') return readBins(reply.bytes)
      if (performance.now() > end) return new Set()
      await sleep(retryMs)
    }
  }
}

function readBins(bytes: Buffer): ReadonlySet<string> {
  try {
    return new Set(binsAnswer.parse(parseStrictJson(bytes)).present)
  } catch {
    // What runs there may have taken it over; then it has nothing that could be relied on.
    return new Set()
  }
}

function limitOf(tool: ToolName, input: unknown): number {
  const own = tool === 'exec' && typeof input === 'object' && input !== null && 'timeoutSeconds' in input
  return (own ? Number(input.timeoutSeconds) * 1_000 : 30_000) + slackMs
}

type Reply = { kind: 'answer'; bytes: Buffer } | { kind: 'unreached' | 'broken'; why: string }

function ask(socketPath: string, path: string, body: string, signal: AbortSignal): Promise<Reply> {
  return new Promise((resolve) => {
    let connected = false
    const call = request({
      socketPath,
      path,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      signal,
    })
    const lost = (cause: Error) => resolve({ kind: connected ? 'broken' : 'unreached', why: cause.message })
    call.on('socket', (socket) => socket.once('connect', () => (connected = true)))
    call.on('error', lost)
    call.on('response', (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length <= maxAnswerBytes) chunks.push(chunk)
        else call.destroy(new Error('its answer is too large'))
      })
      response.on('error', lost)
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ kind: 'answer', bytes: Buffer.concat(chunks) })
        else resolve({ kind: 'broken', why: `it answered ${response.statusCode}` })
      })
    })
    call.end(body)
  })
}

function readAnswer(bytes: Buffer): Performed {
  try {
    return { answer: performedSchema.parse(parseStrictJson(bytes)) }
  } catch {
    return { answer: notOk('in_doubt', 'the sandbox answered something that is not an answer') }
  }
}
