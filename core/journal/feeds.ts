import type { Bus } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { type Cursor, startCursor } from './cursor.ts'
import { Feed } from './feed.ts'
import type { RunMessage } from './follow.ts'
import { feedsOpen } from './metrics.ts'
import { Projection, type RunEvent } from './projection.ts'
import { readOutcome } from './record.ts'

export interface FollowOptions {
  /** Only what comes after this event. */
  after?: Cursor | undefined
  signal: AbortSignal
}

export interface RunFeedsOptions {
  /** What is held in memory of each run that is followed, in bytes; the newest message in any case. */
  maxBytes?: number
}

/** The runs that are followed over one connection to the bus. Each is read once, however many follow it. */
export class RunFeeds {
  readonly #bus: Bus
  readonly #maxBytes: number | undefined
  readonly #feeds = new Map<string, { feed: Feed; readers: number }>()

  constructor(bus: Bus, { maxBytes }: RunFeedsOptions = {}) {
    this.#bus = bus
    this.#maxBytes = maxBytes
    feedsOpen.watch({}, () => this.#feeds.size)
  }

  /**
   * The events of a run from the beginning or a cursor on, each once, up to its outcome, with which it ends. What stands
   * above the outcome is not reported. Ends without a word when the cursor is at the outcome already, or on abort.
   */
  async *follow(run: RunAddress, { after = startCursor, signal }: FollowOptions): AsyncGenerator<RunEvent> {
    if (after.sequence > 0) {
      const known = await readOutcome(this.#bus, run)
      if (known && known.sequence <= after.sequence) return
    }
    // Of the previews all that are left: which of them the cursor has passed is the projection's to say.
    const position = { record: after.sequence, live: 0 }
    const held = this.#feeds.get(run.uid) ?? {
      feed: new Feed({ bus: this.#bus, run, after: position, maxBytes: this.#maxBytes }),
      readers: 0,
    }
    this.#feeds.set(run.uid, held)
    held.readers++
    const projection = new Projection(after)
    try {
      for await (const message of held.feed.messages(position, signal)) {
        yield* eventsOf(projection, message)
        if (message.kind === 'outcome') return
      }
    } finally {
      held.readers--
      if (held.readers === 0) {
        held.feed.close()
        this.#feeds.delete(run.uid)
      }
    }
  }
}

function eventsOf(projection: Projection, message: RunMessage): RunEvent[] {
  if (message.kind === 'live') return projection.live(message.live)
  if (message.kind === 'entry') return projection.recorded(message.sequence, message.entry)
  return projection.ended(message.sequence, message.outcome)
}
