import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '#core/errors'
import { parseStrictJson, performed } from '#core/ipc'

/** How long a sandbox may take to start. */
const startMs = 15_000
const transferMs = 60_000
const retryMs = 100
/** A refusal, in the words of a tool's answer. */
const maxRefusalBytes = 128 * 1024

/** The workspace as the bridge reaches it: through the sandbox, of which nothing is believed. */
export interface WorkspaceFiles {
  /** Throws where it cannot be put there, and says why. */
  put(path: string, bytes: Buffer, signal: AbortSignal): Promise<void>
  /** At most `maxBytes`; `too_large` for more. Throws where it cannot be read, and says why. */
  take(path: string, maxBytes: number, signal: AbortSignal): Promise<Buffer | 'too_large'>
}

/** The workspace of the sandbox behind this socket. */
export function workspaceOf(socketPath: string): WorkspaceFiles {
  return {
    async put(path, bytes, signal) {
      const reply = await patiently(() => send(socketPath, 'PUT', path, bytes, maxRefusalBytes, signal), signal)
      if (reply === 'too_large' || reply.status !== 204) throw new Error(whyOf(reply))
    },
    async take(path, maxBytes, signal) {
      const most = Math.max(maxBytes, maxRefusalBytes)
      const reply = await patiently(() => send(socketPath, 'GET', path, undefined, most, signal), signal)
      if (reply === 'too_large') return reply
      if (reply.status !== 200) throw new Error(whyOf(reply))
      return reply.body.length > maxBytes ? 'too_large' : reply.body
    },
  }
}

type Reply = { status: number; body: Buffer } | 'too_large'

/** A sandbox that does not listen yet has done nothing; both transfers may be repeated. */
async function patiently(ask: () => Promise<Reply>, signal: AbortSignal): Promise<Reply> {
  const end = performance.now() + startMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (performance.now() > end || signal.aborted)
        throw new Error(`the sandbox cannot be reached: ${errorMessage(error)}`, { cause: error })
    }
    await sleep(retryMs)
  }
}

function send(
  socketPath: string,
  method: 'PUT' | 'GET',
  path: string,
  bytes: Buffer | undefined,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath,
      path: `/file?path=${encodeURIComponent(path.toWellFormed())}`,
      method,
      headers: { 'content-length': bytes?.length ?? 0 },
      signal: AbortSignal.any([signal, AbortSignal.timeout(transferMs)]),
    })
    call.on('error', reject)
    call.on('response', (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length <= maxBytes) return void chunks.push(chunk)
        resolve('too_large')
        call.destroy()
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }))
    })
    call.end(bytes)
  })
}

function whyOf(reply: Reply): string {
  try {
    const answer = reply === 'too_large' ? undefined : performed.parse(parseStrictJson(reply.body))
    if (answer && !answer.ok) return answer.error.message
  } catch {
    // Not an answer of ours.
  }
  return 'the sandbox answered something that is not an answer'
}
