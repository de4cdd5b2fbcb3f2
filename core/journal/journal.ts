import { randomUUID } from 'node:crypto'
import { type Bus, consumerOfRun, publish, readPending } from '#core/bus'
import { ClawError } from '#core/errors'
import type { RunAddress } from '#core/identity'
import {
  type AnsweredEntry,
  type CalledEntry,
  type Entry,
  entry as entrySchema,
  type InMessage,
  type NotedEntry,
  type Outcome,
} from './messages.ts'
import { collectRecord } from './record.ts'

type Stamp = 'run' | 'attempt' | 'sequence' | 'at'
/** An entry without what the journal adds to it. */
export type EntryParts = Omit<CalledEntry, Stamp> | Omit<AnsweredEntry, Stamp> | Omit<NotedEntry, Stamp>

/** The journal of one run in the hands of its one writer. */
export interface Journal {
  /** What stood in it when it was opened, and what was appended since, in order. */
  readonly entries: readonly Entry[]
  /** What had been sent into the run when the journal was opened, task first, whether acknowledged or not. */
  readonly inbox: readonly InMessage[]
  /** The outcome, where there was one when the journal was opened. */
  readonly outcome: Outcome | undefined
  /**
   * Adds an entry and returns it once it is stored; concurrent calls are stored in the order of the calls. Throws
   * `fenced`, now and for ever after, when somebody else has written to this journal, and `invalid` for parts that no
   * reader would understand.
   */
  append(parts: EntryParts): Promise<Entry>
  /** Resolves once whatever was appended so far is stored, or has failed. */
  settled(): Promise<void>
}

/**
 * Reads a run's record to its end, which makes the caller its writer: another one that still holds it is fenced at its
 * next append. It can be opened again any number of times, by a bridge that was restarted.
 */
export async function openJournal(
  bus: Bus,
  run: RunAddress,
  attempt: number,
  { signal, now = () => new Date() }: { signal: AbortSignal; now?: () => Date },
): Promise<Journal> {
  const record = collectRecord(run, await readPending(bus, consumerOfRun(run.uid, 'journal'), signal))
  const entries = [...record.entries]
  // Part of each message id, so that a repeated publish of this writer is told from one of another writer.
  const writer = randomUUID()
  let last = record.lastSequence
  let tail: Promise<unknown> = Promise.resolve()
  let failure: ClawError | undefined

  const appendNow = async (parts: EntryParts): Promise<Entry> => {
    if (failure) throw failure
    const sequence = (entries.at(-1)?.sequence ?? 0) + 1
    const entry = checked({ ...parts, run: run.uid, attempt, sequence, at: now().toISOString() })
    try {
      const stored = await publish(bus, record.subject, entry, {
        id: `${run.uid}/${attempt}/${sequence}/${writer}`,
        expectedLast: last,
        headers: { 'K8sClaw-Entry': entry.kind },
        signal,
      })
      last = stored.sequence
    } catch (error) {
      if (error instanceof ClawError && error.code === 'fenced') failure = error
      throw error
    }
    entries.push(entry)
    return entry
  }
  return {
    entries,
    inbox: record.inbox,
    outcome: record.outcome,
    append(parts) {
      const appended = tail.then(() => appendNow(parts))
      tail = appended.catch(() => {})
      return appended
    },
    async settled() {
      await tail
    },
  }
}

/** An entry that readers refuse would make the whole record unreadable, so it is refused here. */
function checked(entry: unknown): Entry {
  const parsed = entrySchema.safeParse(entry)
  if (parsed.success) return parsed.data
  const field = parsed.error.issues[0]?.path.join('.') ?? 'entry'
  throw new ClawError('invalid', `the entry cannot be recorded: ${field}: ${parsed.error.issues[0]?.message}`, {
    cause: parsed.error,
    field,
  })
}
