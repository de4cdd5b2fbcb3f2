import { type Bus, type BusMessage, lastMessage, tail } from '#core/bus'
import { ClawError } from '#core/errors'
import { type RunAddress, runSubjects } from '#core/identity'
import { type Entry, entry, type InMessage, inMessage, type Outcome, outcome } from './messages.ts'

/** Everything that is recorded of one run. */
export interface RunRecord {
  entries: Entry[]
  inbox: InMessage[]
  outcome: Outcome | undefined
}

/** How long a reading may take: what was counted at its start may have been purged meanwhile. */
const readWithinMs = 5_000

/**
 * The record of a run as it stands now, for those who may read every run: API server and controller. Throws
 * `unavailable` when it does not come in time; it is worth another try.
 */
export async function readRun(bus: Bus, run: RunAddress, signal: AbortSignal): Promise<RunRecord> {
  const late = AbortSignal.timeout(readWithinMs)
  try {
    const { entries, inbox, outcome } = collectRecord(run, await readStored(bus, run, AbortSignal.any([signal, late])))
    return { entries, inbox, outcome }
  } catch (cause) {
    if (!late.aborted || signal.aborted) throw cause
    throw new ClawError('unavailable', `the record of run ${run.uid} did not come in time`, { cause })
  }
}

async function readStored(bus: Bus, run: RunAddress, signal: AbortSignal): Promise<BusMessage[]> {
  const reader = await tail(bus, { stream: 'RUNS', subject: runSubjects(run).record, signal })
  const messages: BusMessage[] = []
  if (reader.upTo === 0) return messages
  for await (const message of reader) {
    messages.push(message)
    if (message.sequence >= reader.upTo) return messages
  }
  throw signal.reason
}

/** The outcome of a run with its place in the stream, or undefined. */
export async function readOutcome(
  bus: Bus,
  run: RunAddress,
): Promise<{ sequence: number; outcome: Outcome } | undefined> {
  const message = await lastMessage(bus, 'RUNS', runSubjects(run).outcome)
  return message && { sequence: message.sequence, outcome: outcome.parse(message.value) }
}

/**
 * Sorts the messages of a run's subjects into its record. What stands above the outcome is ignored. Throws `internal`
 * for a message that is not one of ours: only the platform can have written it.
 */
export function collectRecord(
  run: RunAddress,
  messages: BusMessage[],
): RunRecord & { subject: string; lastSequence: number } {
  const subjects = runSubjects(run)
  const record: RunRecord & { subject: string; lastSequence: number } = {
    entries: [],
    inbox: [],
    outcome: undefined,
    subject: subjects.journal,
    lastSequence: 0,
  }
  for (const message of messages) {
    try {
      if (message.subject === subjects.journal) {
        record.lastSequence = message.sequence
        if (!record.outcome) record.entries.push(entry.parse(message.value()))
      } else if (message.subject === subjects.in) record.inbox.push(inMessage.parse(message.value()))
      else if (message.subject === subjects.outcome) record.outcome ??= outcome.parse(message.value())
    } catch (cause) {
      throw new ClawError('internal', `the record of run ${run.uid} cannot be read at ${message.sequence}`, { cause })
    }
  }
  return record
}
