import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusMessage, tail } from '#core/bus'
import { errorMessage } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { type Cursor, startCursor } from './cursor.ts'
import { entry, liveMessage, outcome } from './messages.ts'
import { Projection, type RunEvent } from './projection.ts'
import { readOutcome } from './record.ts'

export interface FollowOptions {
  /** Only what comes after this event. */
  after?: Cursor
  signal: AbortSignal
}

/** How long the previews that are there already are waited for: they may expire on their way, or have no stream yet. */
const backlogWithinMs = 1_000

/**
 * The events of a run from the beginning or a cursor on, each once, up to its outcome, with which it ends. What stands
 * above the outcome is not reported. Ends without a word when the cursor is at the outcome already, or on abort.
 */
export async function* followRun(bus: Bus, run: RunAddress, options: FollowOptions): AsyncGenerator<RunEvent> {
  const after = options.after ?? startCursor
  const known = await readOutcome(bus, run)
  if (known && known.sequence <= after.sequence) return
  const done = new AbortController()
  const signal = AbortSignal.any([options.signal, done.signal])
  const subjects = runSubjects(run)
  const projection = new Projection(after)
  try {
    const live = tail(bus, { stream: 'LIVE', subject: subjects.live, signal })
    const record = await tail(bus, { stream: 'RUNS', subject: subjects.record, after: after.sequence, signal })
    const pieces = (async function* () {
      yield* await live
    })()
    // Previews first, so that the text of a step stands before its recorded answer also for those who come late.
    const backlog = (await soon(live, signal))?.backlog ?? 0
    let piece = nextOf(pieces)
    for (let read = 0; read < backlog; read++) {
      const next = await soon(piece, signal)
      if (!next || next.done) break
      yield* piecesOf(bus, projection, next.value)
      piece = nextOf(pieces)
    }
    const messages = record[Symbol.asyncIterator]()
    let message = nextOf(messages)
    for (;;) {
      const next = await Promise.race([message.then((value) => ({ value })), piece.then((value) => ({ piece: value }))])
      if ('piece' in next) {
        if (next.piece.done) return
        yield* piecesOf(bus, projection, next.piece.value)
        piece = nextOf(pieces)
      } else {
        if (next.value.done) return
        for (const event of eventsOf(bus, projection, subjects, next.value.value)) {
          yield event
          if (event.type === 'outcome') return
        }
        message = nextOf(messages)
      }
    }
  } finally {
    done.abort()
  }
}

/** The value, or undefined when it takes longer than previews are worth waiting for. */
async function soon<T>(value: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const patience = new AbortController()
  const late = sleep(backlogWithinMs, undefined, { signal: AbortSignal.any([signal, patience.signal]) })
  try {
    return await Promise.race([value, late.catch(() => undefined)])
  } finally {
    patience.abort()
  }
}

/** The next message; one that fails after the reader has left fails unheard. */
function nextOf(messages: AsyncIterator<BusMessage>): Promise<IteratorResult<BusMessage>> {
  const next = messages.next()
  next.catch(() => {})
  return next
}

function piecesOf(bus: Bus, projection: Projection, message: BusMessage): RunEvent[] {
  try {
    return projection.live(liveMessage.parse(message.value()))
  } catch (error) {
    notUnderstood(bus, message, error)
    return []
  }
}

function eventsOf(
  bus: Bus,
  projection: Projection,
  subjects: ReturnType<typeof runSubjects>,
  message: BusMessage,
): RunEvent[] {
  try {
    if (message.subject === subjects.journal) return projection.recorded(message.sequence, entry.parse(message.value()))
    if (message.subject === subjects.outcome) return projection.ended(message.sequence, outcome.parse(message.value()))
  } catch (error) {
    notUnderstood(bus, message, error)
  }
  return []
}

function notUnderstood(bus: Bus, { subject, sequence }: BusMessage, error: unknown): void {
  bus.log.error({ subject, sequence, error: errorMessage(error) }, 'message not understood')
}
