import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusMessage, streamCreated, tail } from '#core/bus'
import { errorMessage } from '#core/errors'
import { alone, project, type RecordEntry, readThrough, recordEntry, type SetAside, type Store } from '#core/store'
import type { Logger } from '#core/telemetry'
import { answerHistory } from './history.ts'

/** What the database keeps of the bus, by stream and subject. */
const kept = [
  { stream: 'RUNS', subject: 'k8sclaw.*.*.run.*.*' },
  { stream: 'USAGE', subject: 'k8sclaw.*.*.run.*.usage.*' },
] as const

export interface ProjectorOptions {
  store: Store
  bus: Bus
  log: Logger
  signal: AbortSignal
}

/** One transaction takes no more than this, so that a long absence is caught up with in pieces. */
const batch = 256
const retryMs = 1_000

/**
 * Carries the record from the bus into the database, in order, by one replica at a time, until the signal aborts, and
 * answers the runs that ask on the way what was said before. The
 * database or the bus may be away for as long as the bus keeps the record: it goes on where it stopped.
 */
export async function runProjector(options: ProjectorOptions): Promise<void> {
  const { store, log, signal } = options
  while (!signal.aborted) {
    try {
      await alone(store, 'projector', signal, async (held) => {
        const both = kept.map((source) => follow(source, { ...options, signal: held }))
        await Promise.all(both)
      })
    } catch (error) {
      if (!signal.aborted) log.warn({ error: errorMessage(error) }, 'projection interrupted')
    }
    await sleep(retryMs, undefined, { signal }).catch(() => {})
  }
}

async function follow(
  { stream, subject }: (typeof kept)[number],
  { store, bus, log, signal }: ProjectorOptions,
): Promise<void> {
  const created = await streamCreated(bus, stream)
  const after = await readThrough(store, stream, created)
  let entries: RecordEntry[] = []
  let setAside: SetAside[] = []
  for await (const message of await tail(bus, { stream, subject, after, signal })) {
    try {
      entries.push(recordEntry(stream, message))
    } catch (error) {
      setAside.push(asideOf(message, error))
      log.error({ stream, sequence: message.sequence, subject: message.subject }, 'record entry set aside')
    }
    if (message.pending > 0 && entries.length + setAside.length < batch) continue
    await project(store, { stream, created, entries, setAside, through: message.sequence })
    // After what was said before stands in the database, and before anything later is read.
    await answerHistory(store, bus, entries, { signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ error: errorMessage(error) }, 'history not answered')
    })
    entries = []
    setAside = []
  }
}

function asideOf(message: BusMessage, error: unknown): SetAside {
  const { sequence, subject, bytes: body, at } = message
  return { sequence, subject, body, at, reason: errorMessage(error) }
}
