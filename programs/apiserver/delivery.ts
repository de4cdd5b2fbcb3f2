import { type ClawError, toClawError } from '#core/errors'
import type { RunEvent } from '#core/journal'
import { streamEvents } from './metrics.ts'

/** Why a stream ended; after everything but `outcome` the client may come back with its cursor. */
export type StreamEnd = 'outcome' | 'stopping' | 'slow' | 'left' | ClawError

/** Where the events of one stream go. */
export interface Sink {
  /** Resolves once the client has taken the event; rejects when it has left. */
  send(event: RunEvent): Promise<void>
  ping(): void
  /** Aborts when the client has left. */
  left: AbortSignal
}

export interface Delivery {
  /** The events, until they end or the signal aborts. */
  events: (signal: AbortSignal) => AsyncIterable<RunEvent>
  sink: Sink
  /** Asked now and then whether the reader may go on; the error says why not. */
  review: () => Promise<ClawError | undefined>
  /** Aborts when this replica stops. */
  stopping: AbortSignal
  /** How often a stream with nothing to say says that it lives. */
  pingMs: number
  /** How long a client may take nothing before it is cut. */
  stallMs: number
  reviewMs: number
}

/** Sends events to the sink until the stream ends, and says why it did. An event waits until the last one is taken. */
export async function deliver({ events, sink, review, stopping, ...every }: Delivery): Promise<StreamEnd> {
  const ending = new AbortController()
  const ended = Promise.withResolvers<StreamEnd>()
  let release = () => {}
  const end = (why: StreamEnd) => {
    ended.resolve(why)
    ending.abort()
    release()
  }
  const stop = () => end('stopping')
  const leave = () => end('left')
  stopping.addEventListener('abort', stop)
  sink.left.addEventListener('abort', leave)
  if (stopping.aborted) stop()
  if (sink.left.aborted) leave()

  let sendingSince: number | undefined
  const watch = () => {
    if (sendingSince === undefined) sink.ping()
    else if (performance.now() - sendingSince > every.stallMs) end('slow')
  }
  const pump = async () => {
    let told = 0
    for await (const event of events(ending.signal)) {
      told++
      sendingSince = performance.now()
      // No race with what ends the stream: each would leave something there until it does.
      await new Promise<void>((go) => {
        release = go
        void sink.send(event).catch(leave).then(go)
      })
      sendingSince = undefined
      if (ending.signal.aborted) return
      streamEvents.add({ type: event.type })
      if (event.type === 'outcome') return end('outcome')
    }
    // No event at all: the client has the outcome already. An end without outcome: the bus is being left.
    end(told === 0 ? 'outcome' : 'stopping')
  }
  const watching = setInterval(watch, Math.min(every.pingMs, every.stallMs))
  const reviewing = setInterval(() => void review().then((refusal) => refusal && end(refusal)), every.reviewMs)
  pump().catch((error: unknown) => end(toClawError(error, 'internal', 'the stream failed')))
  const why = await ended.promise
  clearInterval(watching)
  clearInterval(reviewing)
  stopping.removeEventListener('abort', stop)
  sink.left.removeEventListener('abort', leave)
  return why
}
