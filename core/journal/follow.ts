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

/** How long the previews that are there already are waited for; they may expire on their way. */
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
    const live = await tail(bus, { stream: 'LIVE', subject: subjects.live, signal })
    const record = await tail(bus, { stream: 'RUNS', subject: subjects.record, after: after.sequence, signal })
    const pieces = live[Symbol.asyncIterator]()
    // Previews first, so that the text of a step stands before its recorded answer also for those who come late.
    let piece = pieces.next()
    for (let read = 0; read < live.backlog; read++) {
      const next = await Promise.race([
        piece,
        sleep(backlogWithinMs, undefined, { signal, ref: false }).catch(() => {}),
      ])
      if (!next || next.done) break
      yield* piecesOf(bus, projection, next.value)
      piece = pieces.next()
    }
    const messages = record[Symbol.asyncIterator]()
    let message = messages.next()
    for (;;) {
      const next = await Promise.race([message.then((value) => ({ value })), piece.then((value) => ({ piece: value }))])
      if ('piece' in next) {
        if (next.piece.done) return
        yield* piecesOf(bus, projection, next.piece.value)
        piece = pieces.next()
      } else {
        if (next.value.done) return
        for (const event of eventsOf(bus, projection, subjects.journal, subjects.outcome, next.value.value)) {
          yield event
          if (event.type === 'outcome') return
        }
        message = messages.next()
      }
    }
  } finally {
    done.abort()
  }
}

function piecesOf(bus: Bus, projection: Projection, message: BusMessage): RunEvent[] {
  const parsed = liveMessage.safeParse(message.value())
  if (parsed.success) return projection.live(parsed.data)
  bus.log.warn({ subject: message.subject, sequence: message.sequence }, 'preview not understood')
  return []
}

function eventsOf(
  bus: Bus,
  projection: Projection,
  journal: string,
  outcomeSubject: string,
  message: BusMessage,
): RunEvent[] {
  try {
    if (message.subject === journal) return projection.recorded(message.sequence, entry.parse(message.value()))
    if (message.subject === outcomeSubject) return projection.ended(message.sequence, outcome.parse(message.value()))
  } catch (error) {
    bus.log.error(
      { subject: message.subject, sequence: message.sequence, error: errorMessage(error) },
      'record not understood',
    )
  }
  return []
}
