import { type Bus, type BusMessage, lastMessage, tail } from '#core/bus'
import { ClawError } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { takeFollowup } from '#core/ipc'
import { type Entry, entry, type InMessage, inMessage, type Outcome, outcome } from './messages.ts'

/** Everything that is recorded of one run. */
export interface RunRecord {
  entries: Entry[]
  inbox: InMessage[]
  outcome: Outcome | undefined
}

/** How long the next of it is waited for: what was counted at the start may have been purged meanwhile. */
const readWithinMs = 5_000

export interface ReadOptions {
  /**
   * Whether inputs and answers are wanted. A run may record many megabytes of them: without, each is forgotten as soon
   * as it is read.
   */
  contents?: boolean
}

/**
 * The record of a run as it stands now, for those who may read every run: API server and controller. Throws
 * `unavailable` when it stops coming; it is worth another try.
 */
export async function readRun(
  bus: Bus,
  run: RunAddress,
  signal: AbortSignal,
  { contents = true }: ReadOptions = {},
): Promise<RunRecord> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), readWithinMs)
  try {
    const { record, add } = recordOf(run, contents)
    const reading = AbortSignal.any([signal, late.signal])
    const reader = await tail(bus, { stream: 'RUNS', subject: runSubjects(run).record, signal: reading })
    const { entries, inbox } = record
    if (reader.upTo === 0) return { entries, inbox, outcome: undefined }
    for await (const message of reader) {
      timer.refresh()
      add(message)
      if (message.sequence >= reader.upTo) return { entries, inbox, outcome: record.outcome }
    }
    throw new ClawError('unavailable', `the record of run ${run.uid} broke off`, { cause: reading.reason })
  } catch (cause) {
    if (!late.signal.aborted || signal.aborted) throw cause
    throw new ClawError('unavailable', `the record of run ${run.uid} did not come in time`, { cause })
  } finally {
    clearTimeout(timer)
  }
}

/** The outcome of a run with its place in the stream, or undefined. */
export async function readOutcome(
  bus: Bus,
  run: RunAddress,
): Promise<{ sequence: number; outcome: Outcome } | undefined> {
  const message = await lastMessage(bus, 'RUNS', runSubjects(run).outcome)
  return message && { sequence: message.sequence, outcome: outcome.parse(message.value) }
}

/** A record as it is read. */
interface ReadRecord extends RunRecord {
  subject: string
  lastSequence: number
}

/**
 * Sorts the messages of a run's subjects into its record. What stands above the outcome is ignored. Throws `internal`
 * for a message that is not one of ours: only the platform can have written it.
 */
export function collectRecord(run: RunAddress, messages: Iterable<BusMessage>): ReadRecord {
  const { record, add } = recordOf(run, true)
  for (const message of messages) add(message)
  return record
}

function recordOf(run: RunAddress, contents: boolean): { record: ReadRecord; add: (message: BusMessage) => void } {
  const subjects = runSubjects(run)
  const record: ReadRecord = {
    entries: [],
    inbox: [],
    outcome: undefined,
    subject: subjects.journal,
    lastSequence: 0,
  }
  const add = (message: BusMessage) => {
    try {
      if (message.subject === subjects.journal) {
        record.lastSequence = message.sequence
        if (record.outcome) return
        const read = entry.parse(message.value())
        record.entries.push(contents ? read : withoutContent(read))
      } else if (message.subject === subjects.in) record.inbox.push(inMessage.parse(message.value()))
      else if (message.subject === subjects.outcome) record.outcome ??= outcome.parse(message.value())
    } catch (cause) {
      throw new ClawError('internal', `the record of run ${run.uid} cannot be read at ${message.sequence}`, { cause })
    }
  }
  return { record, add }
}

/** What was taken of what is said to a run stays: it is counted by its answer. */
function withoutContent(entry: Entry): Entry {
  if (entry.kind === 'called') {
    const { input: _input, ...call } = entry.call
    const { meaning: _meaning, ...rest } = entry
    return { ...rest, call }
  }
  if (entry.kind !== 'answered' || !entry.answer.ok || entry.tool === takeFollowup) return entry
  return { ...entry, answer: { ok: true, output: null } }
}
