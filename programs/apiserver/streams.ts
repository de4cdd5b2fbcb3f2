import type { Bus } from '#core/bus'
import { ClawError, isClawError } from '#core/errors'
import { parseCursor, RunFeeds, readOutcome } from '#core/journal'
import type { Kube } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { authorizeReader } from './callers.ts'
import { deliver, type Sink, type StreamEnd } from './delivery.ts'
import { streamsEnded, streamsOpen } from './metrics.ts'
import { Places } from './places.ts'

export interface StreamsOptions {
  kube: Kube
  /** The bus, once there is one. */
  bus: () => Bus | undefined
  log: Logger
  /** Ends every stream when this replica stops. */
  signal: AbortSignal
  limits?: Partial<StreamLimits>
}

export interface StreamLimits {
  pingMs: number
  stallMs: number
  reviewMs: number
  /** Streams of this replica. */
  streams: number
  /** Streams of one user on this replica. */
  streamsOfUser: number
}

const defaults: StreamLimits = {
  pingMs: 15_000,
  stallMs: 30_000,
  reviewMs: 60_000,
  streams: 2_000,
  streamsOfUser: 200,
}

export interface StreamRequest {
  token: string
  namespace: string
  name: string
  /** Id of the last event the client has. */
  after: string | undefined
  /** What `reserve` gave; without it a place is taken. */
  place?: Place
}

/** A place for a stream; given back once, however often it is called. */
export type Place = () => void

export interface OpenStream {
  /** Whether the client has the outcome already, so that nothing will come. */
  finished: boolean
  /** Sends events to the sink until the stream ends, and says why it did. */
  deliver(sink: Sink): Promise<StreamEnd>
  /** Gives the place up without delivering anything. */
  release(): void
}

/** The streams that clients of this replica follow. A client is authorised before it is given one, and again later. */
export class Streams {
  readonly #options: StreamsOptions
  readonly #limits: StreamLimits
  readonly #places: Places
  #feeds: { bus: Bus; feeds: RunFeeds } | undefined

  constructor(options: StreamsOptions) {
    this.#options = options
    this.#limits = { ...defaults, ...options.limits }
    this.#places = new Places(this.#limits.streams, this.#limits.streamsOfUser)
    const unwatch = streamsOpen.watch({}, () => this.#places.held)
    options.signal.addEventListener('abort', unwatch)
  }

  /**
   * Takes a place for a stream of something that is yet to be made, so that nothing is made that could not be followed.
   * Throws `too_many`, or `unavailable` where nothing can be followed here.
   */
  reserve(username: string): Place {
    this.#serving()
    return this.#places.take(username)
  }

  /** The bus. Throws `unavailable` without one, and when this replica stops. */
  #serving(): Bus {
    const bus = this.#options.bus()
    if (!bus) throw new ClawError('unavailable', 'the bus is not reachable yet')
    if (this.#options.signal.aborted) throw new ClawError('unavailable', 'this replica is stopping')
    return bus
  }

  /** Throws as `authorizeReader` and `reserve`, and `invalid` for a cursor; a place is still the caller's then. */
  async open({ token, namespace, name, after, place }: StreamRequest): Promise<OpenStream> {
    const { kube, log, signal } = this.#options
    const { username, run } = await authorizeReader(kube, token, namespace, name)
    const cursor = after ? parseCursor(after) : undefined
    const bus = this.#serving()
    const outcome = cursor ? await readOutcome(bus, run) : undefined
    const release = place ?? this.#places.take(username)

    /** Whether the reader may go on: the token still good, the right still there, the run still the same. */
    const review = async (): Promise<ClawError | undefined> => {
      try {
        const now = await authorizeReader(kube, token, namespace, name)
        return now.run.uid === run.uid ? undefined : new ClawError('not_found', `the AgentRun ${name} was deleted`)
      } catch (error) {
        // A Kubernetes API that does not answer takes no right away; the next review asks again.
        return isClawError(error, 'unauthenticated', 'forbidden', 'not_found') ? error : undefined
      }
    }
    return {
      finished: outcome !== undefined && outcome.sequence <= (cursor?.sequence ?? 0),
      release,
      deliver: async (sink) => {
        const end = await deliver({
          events: (ending) => this.#feedsOf(bus).follow(run, { signal: ending, after: cursor }),
          sink,
          review,
          stopping: signal,
          ...this.#limits,
        }).finally(release)
        streamsEnded.add({ end: isClawError(end) ? end.code : end })
        const { uid, instance } = run
        if (isClawError(end, 'internal')) log.error({ run: uid, instance, namespace, err: end }, 'stream failed')
        else log.debug({ run: uid, instance, namespace, end: isClawError(end) ? end.code : end }, 'stream ended')
        return end
      },
    }
  }

  /** One for the connection, of which there is one in the life of this program. */
  #feedsOf(bus: Bus): RunFeeds {
    if (this.#feeds?.bus !== bus) this.#feeds = { bus, feeds: new RunFeeds(bus) }
    return this.#feeds.feeds
  }
}
