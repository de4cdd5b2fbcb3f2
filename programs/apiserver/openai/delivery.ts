import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { ClawError } from '#core/errors'
import type { Outcome, RunEvent } from '#core/journal'
import type { Sink, StreamEnd } from '../delivery.ts'
import { openEvents } from '../sse.ts'
import type { OpenStream } from '../streams.ts'
import { type AnswerHead, chunk, completion, type Delta, usageChunk } from './answer.ts'
import { type OpenAiError, openAiError, runError } from './errors.ts'
import { Speech } from './speech.ts'

/** An answer that is under way to a client. */
export interface Answering {
  head: AnswerHead
  /** Name of the AgentRun. */
  run: string
  stream: OpenStream
  response: ServerResponse
  /** Aborts when the client has left. */
  left: AbortSignal
  headers: OutgoingHttpHeaders
  /** Whether the usage is sent as the last piece. */
  includeUsage: boolean
}

/**
 * Answers with one `chat.completion` once the run has its outcome. Resolves with why nothing more is sent; after anything
 * but `outcome` the run goes on.
 */
export async function answerAtOnce({ head, run, stream, response, left, headers }: Answering): Promise<StreamEnd> {
  const { end, outcome } = await hear(stream, { left, ping: () => {} }, async () => {})
  if (end === 'left' || end === 'slow') return end
  const refused = outcome ? runError(run, outcome) : lost(run, end)
  if (refused) sendError(response, refused, headers)
  else if (outcome) sendJson(response, 200, completion(head, outcome), headers)
  return end
}

/** The same in pieces, `chat.completion.chunk`, as the run speaks. What goes wrong is the last piece. */
export async function answerInPieces(answering: Answering): Promise<StreamEnd> {
  const { head, run, stream, response, includeUsage, headers } = answering
  const client = openEvents(response, headers)
  const piece = (delta: Delta, ended = false) => frame(chunk(head, delta, { ended, withUsage: includeUsage }))
  const speech = new Speech()
  response.write(piece({ role: 'assistant', content: '' }))
  const { end, outcome } = await hear(stream, client, async (event) => {
    const content = speech.hear(event)
    if (content !== '') await client.write(piece({ content }))
  })
  if (end === 'left' || end === 'slow') {
    response.destroy()
    return end
  }
  const refused = outcome ? runError(run, outcome) : lost(run, end)
  if (refused) response.end(frame({ error: refused.error }))
  else if (outcome) {
    const usage = includeUsage ? frame(usageChunk(head, outcome)) : ''
    response.end(`${piece({}, true)}${usage}data: [DONE]\n\n`)
  }
  return end
}

function frame(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

/** A refusal. That the task would be done a second time is no client's to decide by itself. */
function sendError(response: ServerResponse, { status, error }: OpenAiError, headers: OutgoingHttpHeaders): void {
  sendJson(response, status, { error }, { ...headers, 'x-should-retry': 'false' })
}

function sendJson(response: ServerResponse, status: number, body: object, headers: OutgoingHttpHeaders): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.end(JSON.stringify(body))
}

async function hear(
  stream: OpenStream,
  client: Pick<Sink, 'left' | 'ping'>,
  on: (event: RunEvent) => Promise<void>,
): Promise<{ end: StreamEnd; outcome: Outcome | undefined }> {
  const heard: { outcome: Outcome | undefined } = { outcome: undefined }
  const end = await stream.deliver({
    ...{ left: client.left, ping: () => client.ping() },
    send: async (event) => {
      if (event.type === 'outcome') heard.outcome = event.data
      await on(event)
    },
  })
  return { end: heard.outcome ? 'outcome' : end, outcome: heard.outcome }
}

/** Why the run is not followed any longer, although it goes on. */
function lost(run: string, end: StreamEnd): OpenAiError {
  if (end instanceof ClawError) return openAiError(end)
  return openAiError(new ClawError('unavailable', `this server stops; the run ${run} goes on without it`))
}
