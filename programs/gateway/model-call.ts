import { randomUUID } from 'node:crypto'
import { ClawError, toClawError } from '#core/errors'
import type { RunClaims } from '#core/identity'
import { type IncomingHeaders, type ModelRequest, ReplyMeter, replyHeaders, type TokenUsage } from '#core/models'
import { statusOf } from './answer.ts'
import type { BusPort } from './bus-port.ts'
import type { Client } from './client.ts'
import { LiveText } from './live-text.ts'
import type { Provider, Question } from './provider.ts'
import type { Upstream } from './upstream.ts'
import type { UsageOutbox } from './usage-outbox.ts'

/** Trailer of an answer with what it cost; left out where the provider did not say. */
export const usageTrailer = 'X-K8sClaw-Usage'

/** Longest time of one call, and how long of it a reply is read on when its client has hung up. */
const callMs = 20 * 60_000
const drainMs = 120_000
/** Longest error of a provider that is passed on, in bytes. */
const maxErrorBytes = 1024 * 1024

export interface ModelCall {
  claims: RunClaims
  /** Name of the provider, which for embeddings may be another than the run's. */
  providerName: string
  request: ModelRequest
  headers: IncomingHeaders
  question: Question
  /** Ordinal of the model call in the run; 0 for counts and embeddings, which are none. */
  step: number
  /** Whether its text is nobody's preview: it is no part of what the agent says. */
  quiet: boolean
  provider: Provider
  client: Client
  bus: BusPort
  outbox: UsageOutbox
  /** Aborts when the program cannot wait any longer. */
  signal: AbortSignal
}

/** What a call came to, for usage and log. */
export interface Called {
  status: number
  usage: TokenUsage | undefined
}

/**
 * One call: asks the provider, passes its bytes on as they come, publishes its text, and meters it off the wire. The
 * reply is read to its end also when the client hangs up, so that an aborted stream is not a free call. `called` is
 * filled as things become known; what is thrown has not been answered, or broke an answer that had begun.
 */
export async function callModel(call: ModelCall, called: Called): Promise<void> {
  const { claims, providerName, step, question, outbox, client, request } = call
  const id = randomUUID()
  const abort = new AbortController()
  const stop = () => abort.abort(new ClawError('timeout', 'the model call took too long'))
  const timers = [setTimeout(stop, callMs)]
  client.gone.addEventListener('abort', () => timers.push(setTimeout(stop, drainMs)))
  try {
    await exchange(call, called, id, AbortSignal.any([abort.signal, call.signal]))
  } catch (error) {
    const known = toClawError(abort.signal.aborted ? abort.signal.reason : error, 'internal', 'the model call failed')
    if (called.status === 0) called.status = statusOf(known)
    throw known
  } finally {
    for (const timer of timers) clearTimeout(timer)
    if (question !== 'count') {
      outbox.add(claims, id, {
        run: claims.uid,
        attempt: claims.attempt,
        step,
        at: new Date().toISOString(),
        provider: providerName,
        model: request.model,
        ...(called.usage ? { inputTokens: called.usage.input, outputTokens: called.usage.output } : {}),
        status: called.status,
      })
    }
  }
}

async function exchange(call: ModelCall, called: Called, id: string, signal: AbortSignal): Promise<void> {
  const { question, request, headers, client } = call
  const upstream = await call.provider.ask({ question, request, headers, signal, clientGone: client.gone })
  const encoding = String(upstream.headers['content-encoding'] ?? 'identity')
  if (upstream.status < 200 || upstream.status >= 300 || encoding !== 'identity') {
    return await passError(call, called, upstream, encoding)
  }
  await passReply(call, called, upstream, id)
}

async function passReply(call: ModelCall, called: Called, upstream: Upstream, id: string): Promise<void> {
  const { claims, step, question, quiet, request, client, bus } = call
  const streaming = /^text\/event-stream\b/i.test(String(upstream.headers['content-type'] ?? ''))
  const format = question === 'embeddings' ? question : request.format
  const meter = new ReplyMeter({ format, streaming, withholdUsage: request.withholdUsage })
  const { attempt } = claims
  const live = question === 'reply' && !quiet && new LiveText({ bus, run: claims, attempt, step, id })
  const head = () => {
    called.status = upstream.status
    client.head(upstream.status, { ...replyHeaders(upstream.headers), trailer: usageTrailer })
  }
  const pass = async (read: { text: string; pass: Uint8Array[] }) => {
    called.usage = meter.usage
    if (live) live.push(read.text)
    for (const bytes of read.pass) await client.write(bytes)
  }
  if (streaming) head()
  try {
    for await (const chunk of upstream.body) await pass(meter.push(chunk))
    if (!streaming) head()
    await pass(meter.end())
  } finally {
    if (live) void live.end()
  }
  client.end(called.usage ? { [usageTrailer]: JSON.stringify(called.usage) } : {})
}

/** Passes on how a provider refuses or fails, without the credential, and tells apart what is no answer of a model. */
async function passError(call: ModelCall, called: Called, upstream: Upstream, encoding: string): Promise<void> {
  const { provider, client } = call
  const { status } = upstream
  const text = await readText(upstream.body)
  if (status === 401) {
    // Some providers repeat a part of the key here.
    throw new ClawError('unauthenticated', `the provider refused the credential in the Secret ${provider.secret}`)
  }
  if (status < 400 || encoding !== 'identity') {
    const what =
      status >= 300 && status < 400 ? 'a redirect, which is not followed' : `${status} in ${encoding} encoding`
    throw new ClawError('unavailable', `the provider answered ${what}`, { retryable: false })
  }
  called.status = status
  const bytes = Buffer.from(provider.scrub(text))
  client.head(status, { ...replyHeaders(upstream.headers), 'content-length': String(bytes.length) })
  await client.write(bytes)
  client.end()
}

async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    length += chunk.length
    if (length > maxErrorBytes) break
  }
  return Buffer.concat(chunks).subarray(0, maxErrorBytes).toString('utf8')
}
