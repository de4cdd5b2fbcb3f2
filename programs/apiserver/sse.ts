import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { RunEvent } from '#core/journal'
import type { OpenStream } from './streams.ts'

/**
 * Server-sent events (WHATWG HTML, 9.2): each with its id, so that a browser resumes by itself. The response ends after
 * the outcome; a client that comes back behind it is answered 204, which tells an EventSource to stay away. Written to
 * the response of Node itself, which says when the client has taken a piece.
 */
export async function serveEvents(response: ServerResponse, stream: OpenStream): Promise<void> {
  if (stream.finished) {
    stream.release()
    response.writeHead(204).end()
    return
  }
  const { left, write, ping } = openEvents(response)
  const end = await stream.deliver({ left, send: (event) => write(frame(event)), ping })
  if (end === 'slow' || end === 'left') response.destroy()
  else response.end()
}

/** The way to a client that reads server-sent events. */
export interface EventsClient {
  /** Aborts when the client has left. */
  left: AbortSignal
  /** Resolves once the client has taken it; rejects when it has left. */
  write(text: string): Promise<void>
  /** A comment, which says that the stream lives. */
  ping(): void
}

/** Begins a response of server-sent events, with its first bytes. */
export function openEvents(response: ServerResponse, headers: OutgoingHttpHeaders = {}): EventsClient {
  const left = whenLeft(response)
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    // nginx and its kind otherwise keep events until a buffer is full.
    'x-accel-buffering': 'no',
    ...headers,
  })
  const write = (text: string) =>
    new Promise<void>((resolve, reject) => {
      response.write(text, (error) => (error ? reject(error) : resolve()))
    })
  const ping = () => void write(': ping\n\n').catch(() => response.destroy())
  // At once: a proxy on the way passes the head of a response on with its first bytes.
  ping()
  return { left, write, ping }
}

/** Aborts when the client leaves, or has been answered. */
export function whenLeft(response: ServerResponse): AbortSignal {
  const left = new AbortController()
  response.on('close', () => left.abort())
  response.on('error', () => left.abort())
  if (response.closed || response.destroyed) left.abort()
  return left.signal
}

function frame({ id, type, data }: RunEvent): string {
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}
