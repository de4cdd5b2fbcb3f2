import { setTimeout as sleep } from 'node:timers/promises'
import { ClawError } from '#core/errors'
import {
  builtInDemo,
  type DemoPiece,
  type DemoScript,
  demoEmbeddings,
  demoModel,
  demoReply,
  demoTokens,
  parseDemoScript,
} from '#core/models'
import type { Asking } from './provider.ts'
import type { Upstream } from './upstream.ts'

/** Scripts as they were read, by their text; a run asks with the same one at every step. */
const read = new Map<string, DemoScript>()
const maxRead = 64

/** The script of a Secret, or the built-in one. Throws ClawError `forbidden` that names the Secret and the field. */
export function demoScriptOf(text: string | undefined, secret: string | undefined): DemoScript {
  if (text === undefined) return builtInDemo
  const known = read.get(text)
  if (known) return known
  try {
    const script = parseDemoScript(text)
    const oldest = read.keys().next().value
    if (read.size >= maxRead && oldest !== undefined) read.delete(oldest)
    read.set(text, script)
    return script
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ClawError('forbidden', `the Secret ${secret} holds no valid script: ${why}`, { cause })
  }
}

/** Serves the demo model as a provider would; the waiting that its script asks for is done here. */
export function demoUpstream(script: DemoScript, asking: Asking): Upstream {
  const { request, question, signal, clientGone } = asking
  if (request.model !== demoModel) {
    throw new ClawError('not_found', `the provider demo has one model, ${demoModel}, and no ${request.model}`)
  }
  if (question !== 'reply') {
    const bytes =
      question === 'embeddings'
        ? demoEmbeddings(request.body)
        : JSON.stringify({ input_tokens: demoTokens(request.format, request.body) })
    const headers = { 'content-type': 'application/json' }
    return { status: 200, headers, body: played([{ delayMs: 0, bytes }], signal, clientGone) }
  }
  // What a real provider would be sent: it asks for usage where the client did not.
  const body = request.withholdUsage ? { ...request.body, stream_options: { include_usage: true } } : request.body
  const { status, headers, pieces } = demoReply(script, request.format, body)
  return { status, headers, body: played(pieces, signal, clientGone) }
}

/** The pieces in their time; when the client has gone, nobody needs the waiting. */
async function* played(pieces: DemoPiece[], signal: AbortSignal, clientGone: AbortSignal): AsyncGenerator<Uint8Array> {
  const hurry = AbortSignal.any([signal, clientGone])
  for (const { delayMs, bytes } of pieces) {
    if (delayMs > 0 && !hurry.aborted) await sleep(delayMs, undefined, { signal: hurry }).catch(() => {})
    if (signal.aborted) throw new ClawError('timeout', 'the demo model was stopped')
    yield Buffer.from(bytes)
  }
}
