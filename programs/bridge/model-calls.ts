import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Answer, Call, Verdict } from '#core/journal'
import { providerError, replyHeaders, type WireFormat } from '#core/models'
import { type Boundary, notOk, type Performed } from './boundary.ts'
import { type Gateway, GatewayFailure, type GatewayRequest, tokensOf } from './gateway-client.ts'
import { ReplyText } from './reply-text.ts'
import { sha256 } from './tool-calls.ts'

/** How long an answer is read on that nobody takes any more: its cost is told at its end. */
const drainMs = 120_000
/** How long an agent may leave its answer untaken before it counts as gone. */
const stalledMs = 60_000

export interface Limits {
  maxSteps: number
  maxTokens: number
}

/** May the run make its `step`th model call? Counted in what the record says. */
export function judgeModelCall(step: number, tokens: number, limits: Limits): Verdict {
  if (step > limits.maxSteps) return { action: 'deny', reason: `all ${limits.maxSteps} steps of this run are used` }
  return judgeTokens(tokens, limits) ?? { action: 'allow', reason: `step ${step} of ${limits.maxSteps}` }
}

/** Why a run that has used so many tokens may use no more; undefined where it may. */
export function judgeTokens(tokens: number, { maxTokens }: Limits): Verdict | undefined {
  if (tokens < maxTokens) return undefined
  return { action: 'deny', reason: `${tokens} of ${maxTokens} tokens of this run are used` }
}

export interface ModelCall {
  boundary: Boundary
  gateway: Gateway
  limits: Limits
  format: WireFormat
  /** Whether it is a model call, or only asks what one would cost. */
  question: 'reply' | 'count'
  request: Omit<GatewayRequest, 'step'>
  response: ServerResponse
}

/** Takes a model request across, streaming its answer to the agent; resolves when the agent has its answer. */
export async function callModel(options: ModelCall): Promise<void> {
  const { boundary, gateway, limits, format, question, request, response } = options
  const { ledger } = boundary
  const inputHash = sha256(request.body)
  const step = question === 'reply' ? ledger.step + 1 : undefined
  const call: Call =
    step === undefined
      ? { id: `count-${ledger.size + 1}`, tool: 'count_tokens', inputHash }
      : { id: `model-${step}`, tool: 'model', inputHash, step }
  const { inputTokens, outputTokens } = ledger.usage
  const verdict: Verdict =
    step === undefined
      ? { action: 'allow', reason: 'counting is free' }
      : judgeModelCall(step, inputTokens + outputTokens, limits)
  const perform = (closed: AbortSignal) => passOn(gateway, format, { ...request, step }, response, closed)
  const answer = await boundary.cross({ call, verdict, perform })
  // The end of the answer is held back until it is recorded, so that what an agent has seen whole is in the record.
  if (response.headersSent) response[answer.ok || answer.error.code === 'failed' ? 'end' : 'destroy']()
  else refuse(response, format, answer)
}

/** Sends the request and its answer on, byte for byte as they come, and reads it to its end whoever hangs up. */
async function passOn(
  gateway: Gateway,
  format: WireFormat,
  request: GatewayRequest,
  response: ServerResponse,
  closed: AbortSignal,
): Promise<Performed> {
  const giveUp = new AbortController()
  const gone = AbortSignal.any([closed, goneSignal(response)])
  let timer: NodeJS.Timeout | undefined
  const drain = () => {
    response.destroy()
    timer ??= setTimeout(() => giveUp.abort(), drainMs)
  }
  if (gone.aborted) return { answer: notOk('failed', 'the agent hung up before it was asked') }
  gone.addEventListener('abort', drain, { once: true })
  try {
    const upstream = await gateway.ask(request, giveUp.signal)
    const status = upstream.statusCode ?? 502
    if (!gone.aborted) response.writeHead(status, replyHeaders(upstream.headers))
    const reply = new ReplyText(format, upstream.headers['content-type'])
    await pipe(upstream, response, gone, reply)
    const answer: Answer = status < 400 ? said(status, reply) : notOk('failed', `the gateway answered ${status}`)
    return { answer, tokens: tokensOf(upstream) }
  } catch (thrown) {
    const failure = thrown instanceof GatewayFailure ? thrown : new GatewayFailure(true, thrown)
    return { answer: notOk(failure.sent ? 'in_doubt' : 'failed', failure.message) }
  } finally {
    clearTimeout(timer)
    gone.removeEventListener('abort', drain)
  }
}

function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  if (response.destroyed) gone.abort()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}

/** What is recorded of a reply: its text outlasts the preview that was streamed of it. */
function said(status: number, reply: ReplyText): Answer {
  const { text, truncated } = reply.end()
  return { ok: true, output: text === '' ? { status } : { status, text }, ...(truncated ? { truncated } : {}) }
}

async function pipe(
  upstream: IncomingMessage,
  response: ServerResponse,
  gone: AbortSignal,
  reply: ReplyText,
): Promise<void> {
  for await (const chunk of upstream as AsyncIterable<Buffer>) {
    reply.push(chunk)
    if (gone.aborted || response.write(chunk)) continue
    try {
      await once(response, 'drain', { signal: AbortSignal.any([gone, AbortSignal.timeout(stalledMs)]) })
    } catch {
      // Gone, or as good as gone: from here on the answer is only read.
      response.destroy()
    }
  }
  if (!upstream.complete) throw new GatewayFailure(true, new Error('the answer was cut off'))
}

function refuse(response: ServerResponse, format: WireFormat, answer: Answer): void {
  if (answer.ok || response.destroyed) return
  const { code, message } = answer.error
  const status = code === 'run_ended' ? 403 : code === 'denied' || code === 'too_many' ? 429 : 502
  const problem = { status, code, message, retryable: status === 502 }
  const { headers, body } = providerError(format, problem)
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
}
