import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusMessage, tail } from '#core/bus'
import { errorMessage } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { Either } from './either.ts'
import { type LiveMessage, liveMessage } from './live-message.ts'
import { type Entry, entry, type Outcome, outcome } from './messages.ts'

/** What stands in the streams of a run, as its readers get it. */
export type RunMessage = { sequence: number; bytes: number } & (
  | { kind: 'live'; live: LiveMessage }
  | { kind: 'entry'; entry: Entry }
  | { kind: 'outcome'; outcome: Outcome }
)

/** How far somebody has read: the last sequence of each of the two streams. */
export interface RunPosition {
  record: number
  live: number
}

/** How long the previews that are there already are waited for: they may expire on their way, or have no stream yet. */
const backlogWithinMs = 1_000

/**
 * The messages of a run behind a position, each once, up to its outcome, with which it ends: previews that are there
 * already first, so that the text of a step stands before its recorded answer also for those who come late. Ends
 * without a word on abort.
 */
export async function* readMessages(
  bus: Bus,
  run: RunAddress,
  { after, signal: wanted }: { after: RunPosition; signal: AbortSignal },
): AsyncGenerator<RunMessage> {
  const done = new AbortController()
  const signal = AbortSignal.any([wanted, done.signal])
  const subjects = runSubjects(run)
  const understood = (message: BusMessage) => messageOf(bus, subjects, message)
  try {
    const live = tail(bus, { stream: 'LIVE', subject: subjects.live, after: after.live, signal })
    // Nobody waits for it where the record cannot be read.
    live.catch(() => {})
    const record = await tail(bus, { stream: 'RUNS', subject: subjects.record, after: after.record, signal })
    const pieces = (async function* () {
      yield* await live
    })()
    const upTo = (await soon(live, signal))?.upTo ?? 0
    let piece = nextOf(pieces)
    for (let read = 0; read < upTo; ) {
      const next = await soon(piece, signal)
      if (!next || next.done) break
      read = next.value.sequence
      yield* understood(next.value)
      piece = nextOf(pieces)
    }
    const either = new Either(record[Symbol.asyncIterator](), pieces, piece)
    for (;;) {
      const next = await either.next()
      if (next.value.done) return
      for (const one of understood(next.value.value)) {
        yield one
        if (one.kind === 'outcome') return
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

/** One message, or none: what is not understood is said in the log, and what readers do not get is left out. */
function messageOf(bus: Bus, subjects: ReturnType<typeof runSubjects>, message: BusMessage): RunMessage[] {
  const { subject, sequence } = message
  const place = { sequence, bytes: message.bytes.length }
  try {
    if (subject === subjects.liveModel || subject === subjects.liveAgent)
      return [{ ...place, kind: 'live', live: liveMessage.parse(message.value()) }]
    if (subject === subjects.journal) return [{ ...place, kind: 'entry', entry: entry.parse(message.value()) }]
    if (subject === subjects.outcome) return [{ ...place, kind: 'outcome', outcome: outcome.parse(message.value()) }]
  } catch (error) {
    bus.log.error({ subject, sequence, error: errorMessage(error) }, 'message not understood')
  }
  return []
}
