import type { Bus } from '#core/bus'
import { ClawError, errorMessage, isClawError } from '#core/errors'
import { followRun, parseCursor, type RunEvent, readOutcome } from '#core/journal'
import type { Kube } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { authorizeReader } from './callers.ts'

export interface StreamsOptions {
  kube: Kube
  /** The bus, once there is one. */
  bus: () => Bus | undefined
  log: Logger
  /** Ends every stream when this replica stops. */
  signal: AbortSignal
  timing?: StreamTiming
}

export interface StreamTiming {
  /** How often a stream with nothing to say says that it lives. */
  pingMs: number
  /** How long a client may take nothing before it is cut; it comes back with its cursor. */
  stallMs: number
  /** How often it is asked again whether the reader may still read, and whether the run is still there. */
  reviewMs: number
}

const defaultTiming: StreamTiming = { pingMs: 15_000, stallMs: 30_000, reviewMs: 60_000 }
/** Streams of this replica, and of one user on it. */
const maxStreams = 2_000
const maxStreamsOfUser = 200

/** Why a stream ended; everything but `outcome` may be resumed. */
export type StreamEnd = 'outcome' | 'stopping' | 'slow' | 'left' | ClawError

/** Where the events of one stream go. */
export interface Sink {
  /** Resolves once the client has taken the event. */
  send(event: RunEvent): Promise<void>
  ping(): void
  /** Aborts when the client has left. */
  left: AbortSignal
}

export interface OpenStream {
  /** Whether the client has the outcome already, so that nothing will come. */
  finished: boolean
  /** Sends events to the sink until the stream ends, and says why it did. */
  deliver(sink: Sink): Promise<StreamEnd>
  /** Gives the place up without delivering anything. */
  release(): void
}

export interface StreamRequest {
  token: string
  namespace: string
  name: string
  /** Id of the last event the client has. */
  after: string | undefined
}

/** The streams that clients of this replica follow. A client is authorised before it is given one. */
export class Streams {
  readonly #options: StreamsOptions
  readonly #timing: StreamTiming
  readonly #ofUser = new Map<string, number>()
  #count = 0

  constructor(options: StreamsOptions) {
    this.#options = options
    this.#timing = options.timing ?? defaultTiming
  }

  /** Throws as `authorizeReader`, and `invalid` for a cursor, `too_many`, or `unavailable` without a bus. */
  async open({ token, namespace, name, after }: StreamRequest): Promise<OpenStream> {
    const { kube, bus: currentBus, signal } = this.#options
    const { username, run } = await authorizeReader(kube, token, namespace, name)
    const cursor = after ? parseCursor(after) : undefined
    const bus = currentBus()
    if (!bus) throw new ClawError('unavailable', 'the bus is not reachable yet')
    if (signal.aborted) throw new ClawError('unavailable', 'this replica is stopping')
    const outcome = cursor && (await readOutcome(bus, run))
    const finished = outcome !== undefined && outcome.sequence <= cursor.sequence
    const release = this.#take(username)
    /** Whether the reader may go on: same user, same right, and still the same run. */
    const review = async (): Promise<ClawError | undefined> => {
      try {
        const now = await authorizeReader(kube, token, namespace, name)
        return now.run.uid === run.uid ? undefined : new ClawError('not_found', `the AgentRun ${name} was deleted`)
      } catch (error) {
        // A Kubernetes API that does not answer takes no right away; the next review asks again.
        return isClawError(error, 'unauthenticated', 'forbidden', 'not_found') ? error : undefined
      }
    }
    const deliver = async (sink: Sink): Promise<StreamEnd> => {
      try {
        const events = (ending: AbortSignal) =>
          followRun(bus, run, { signal: ending, ...(cursor && { after: cursor }) })
        return await this.#deliver(events, sink, review)
      } catch (error) {
        this.#options.log.error({ run: run.uid, namespace, error: errorMessage(error) }, 'stream failed')
        return isClawError(error) ? error : new ClawError('internal', 'stream failed', { cause: error })
      } finally {
        release()
      }
    }
    return { finished, deliver, release }
  }

  async #deliver(
    events: (ending: AbortSignal) => AsyncIterable<RunEvent>,
    sink: Sink,
    review: () => Promise<ClawError | undefined>,
  ): Promise<StreamEnd> {
    const { pingMs, stallMs, reviewMs } = this.#timing
    const ending = new AbortController()
    const ended = Promise.withResolvers<StreamEnd>()
    const end = (why: StreamEnd) => {
      ended.resolve(why)
      ending.abort()
    }
    const stopping = () => end('stopping')
    const leaving = () => end('left')
    this.#options.signal.addEventListener('abort', stopping)
    sink.left.addEventListener('abort', leaving)
    let sendingSince: number | undefined
    const pinging = setInterval(
      () => {
        if (sendingSince === undefined) sink.ping()
        else if (Date.now() - sendingSince > stallMs) end('slow')
      },
      Math.min(pingMs, stallMs),
    )
    const reviewing = setInterval(() => {
      void review().then((refusal) => refusal && end(refusal))
    }, reviewMs)
    const pump = async () => {
      let last: RunEvent['type'] | undefined
      for await (const event of events(ending.signal)) {
        sendingSince = Date.now()
        await Promise.race([sink.send(event), ended.promise])
        sendingSince = undefined
        if (ending.signal.aborted) return
        last = event.type
      }
      // Without an event there is nothing behind the cursor: the client has the outcome already.
      if (!ending.signal.aborted) end(last === 'outcome' || last === undefined ? 'outcome' : 'stopping')
    }
    try {
      if (sink.left.aborted) return 'left'
      void pump().catch((error: unknown) => {
        const why = isClawError(error) ? error : new ClawError('internal', 'stream failed', { cause: error })
        if (!ending.signal.aborted) this.#options.log.error({ err: error }, 'stream failed')
        end(why)
      })
      return await ended.promise
    } finally {
      clearInterval(pinging)
      clearInterval(reviewing)
      this.#options.signal.removeEventListener('abort', stopping)
      sink.left.removeEventListener('abort', leaving)
      ending.abort()
    }
  }

  /** Takes a place for a user; the returned function gives it back, once. */
  #take(username: string): () => void {
    const held = this.#ofUser.get(username) ?? 0
    if (this.#count >= maxStreams || held >= maxStreamsOfUser) {
      throw new ClawError('too_many', 'too many streams are open; close some, or try again later')
    }
    this.#count++
    this.#ofUser.set(username, held + 1)
    let released = false
    return () => {
      if (released) return
      released = true
      this.#count--
      const left = (this.#ofUser.get(username) ?? 1) - 1
      if (left > 0) this.#ofUser.set(username, left)
      else this.#ofUser.delete(username)
    }
  }
}
