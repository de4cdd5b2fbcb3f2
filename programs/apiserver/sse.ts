import type { Context } from 'hono'
import type { RunEvent } from '#core/journal'
import type { OpenStream } from './streams.ts'

const encoder = new TextEncoder()

/**
 * Server-sent events (WHATWG HTML, 9.2): each with its id, so that a browser resumes by itself. The stream ends after
 * the outcome; a client that comes back behind it is answered 204, which tells an EventSource to stay away.
 */
export function serveEvents(c: Context, stream: OpenStream): Response {
  if (stream.finished) {
    stream.release()
    return c.body(null, 204)
  }
  const left = new AbortController()
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 1 })
  const writer = writable.getWriter()
  const leave = () => left.abort()
  // Whoever stops reading cancels the readable side, which closes the writer.
  writer.closed.then(leave, leave)
  c.req.raw.signal.addEventListener('abort', leave)
  const sink = {
    left: left.signal,
    send: (event: RunEvent) => writer.write(encoder.encode(frame(event))),
    ping: () => void writer.write(encoder.encode(': ping\n\n')).catch(() => {}),
  }
  // Sent at once: a proxy on the way passes the head of a response on with its first bytes.
  sink.ping()
  void stream.deliver(sink).then(async (end) => {
    if (end === 'slow' || end === 'left') await writer.abort(new Error(end)).catch(() => {})
    else await writer.close().catch(() => {})
  })
  return new Response(readable, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx and its kind otherwise keep events until a buffer is full.
      'x-accel-buffering': 'no',
    },
  })
}

function frame({ id, type, data }: RunEvent): string {
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}
