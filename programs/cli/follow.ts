import { ClawError } from '#core/errors'
import { type Kube, pathSegment } from '#core/kube'
import { askApiserver, credentials, refusalOf } from './apiserver.ts'
import { sayWhyItWaits } from './waiting.ts'

/** One event of a run's stream, as the API server sends it (docs/api.md). */
export interface RunEvent {
  /** The cursor after this event. */
  id: string
  type: 'called' | 'answered' | 'text' | 'status' | 'outcome'
  data: Record<string, unknown>
}

/**
 * The events of a run until its outcome; `onWait` is told why there are none as long as it does not begin. A connection
 * that breaks is taken up at the cursor, so nothing is shown twice; a refusal is thrown with what the server said.
 */
export async function* follow(
  kube: Kube,
  { namespace, name }: { namespace: string; name: string },
  signal: AbortSignal,
  onWait: (why: string) => void,
): AsyncGenerator<RunEvent> {
  const begun = new AbortController()
  void sayWhyItWaits(kube, { namespace, name }, onWait, AbortSignal.any([begun.signal, signal]))
  try {
    for await (const event of events(kube, namespace, name, signal)) {
      begun.abort()
      yield event
    }
  } finally {
    begun.abort()
  }
}

async function* events(kube: Kube, namespace: string, run: string, signal: AbortSignal): AsyncGenerator<RunEvent> {
  let cursor: string | undefined
  for (let failures = 0; !signal.aborted; ) {
    try {
      for await (const event of stream(kube, namespace, run, cursor, signal)) {
        cursor = event.id
        failures = 0
        yield event
        if (event.type === 'outcome') return
      }
    } catch (error) {
      if (signal.aborted) return
      failures += 1
      if (failures > 20 || (error instanceof ClawError && !error.retryable)) throw error
    }
    await new Promise((done) => setTimeout(done, Math.min(2000, 100 * 2 ** failures)))
  }
}

async function* stream(
  kube: Kube,
  namespace: string,
  run: string,
  cursor: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<RunEvent> {
  const path = `/api/v1/namespaces/${pathSegment(namespace)}/runs/${pathSegment(run)}/events`
  const response = await askApiserver(kube, path, {
    headers: {
      Accept: 'text/event-stream',
      ...(await credentials(kube)),
      ...(cursor ? { 'Last-Event-ID': cursor } : {}),
    },
    signal,
  })
  if (response.status !== 200) throw refusalOf(response.status, await response.text())
  let buffer = ''
  for await (const chunk of response.body.setEncoding('utf8') as AsyncIterable<string>) {
    buffer += chunk
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const event = parseEvent(buffer.slice(0, end))
      buffer = buffer.slice(end + 2)
      if (event) yield event
    }
  }
}

/** One server-sent event; comments and events without data are undefined. */
export function parseEvent(block: string): RunEvent | undefined {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const name = line.slice(0, colon)
    const value = line.slice(colon + 1).replace(/^ /, '')
    fields.set(name, fields.has(name) ? `${fields.get(name)}\n${value}` : value)
  }
  const data = fields.get('data')
  const id = fields.get('id')
  if (data === undefined || id === undefined) return undefined
  return { id, type: fields.get('event') as RunEvent['type'], data: JSON.parse(data) as Record<string, unknown> }
}
