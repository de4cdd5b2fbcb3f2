import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type BusMessage, storeKept, streamCreated, tail } from '#core/bus'
import { ClawError, errorMessage } from '#core/errors'
import {
  alone,
  openCalls,
  project,
  type RecordEntry,
  readThrough,
  recordEntry,
  type SetAside,
  type Store,
} from '#core/store'
import type { Logger } from '#core/telemetry'
import { type MemoryPerformer, memoryFreshMs, memoryTools } from '../memory/performer.ts'
import { projecting, projectionSeconds, projectionUntold } from '../metrics.ts'
import { gather } from './gather.ts'
import { answerHistory } from './history.ts'
import { Progress } from './progress.ts'
import { keepRetention } from './retention.ts'

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
  /** Performs the memory calls of the record; without it nobody does. */
  memory?: MemoryPerformer | undefined
}

const retryMs = 1_000
/** How often it is said how far the record is kept, also when it did not move: the bus forgets who is silent. */
const sayAgainMs = 10 * 60_000

/**
 * Carries the record from the bus into the database, in order, by one replica at a time, until the signal aborts, and
 * answers the runs that ask on the way what was said before, or that something be remembered. The database or the bus may
 * be away: it goes on where it stopped, and the bus keeps what was not taken yet, because it is told how far that is.
 * What the policies keep no longer it deletes.
 */
export async function runProjector(options: ProjectorOptions): Promise<void> {
  const { store, log, signal } = options
  while (!signal.aborted) {
    try {
      await alone(store, 'projector', signal, async (held) => {
        // One that ends takes the other along, and both begin again.
        const over = new AbortController()
        const unwatch = projecting.watch({}, () => 1)
        const both = kept.map(async (source) => {
          try {
            await follow(source, { ...options, signal: AbortSignal.any([held, over.signal]) })
          } finally {
            over.abort()
          }
        })
        void keepRetention({ ...options, signal: AbortSignal.any([held, over.signal]) })
        void options.memory?.meaning.upkeep(AbortSignal.any([held, over.signal]))
        const failed = (await Promise.allSettled(both).finally(unwatch)).find((end) => end.status === 'rejected')
        if (failed) throw failed.reason
      })
    } catch (error) {
      if (!signal.aborted) log.warn({ error: errorMessage(error) }, 'projection interrupted')
    }
    await sleep(retryMs, undefined, { signal }).catch(() => {})
  }
}

async function follow(
  { stream, subject }: (typeof kept)[number],
  { store, bus, log, signal, memory }: ProjectorOptions,
): Promise<void> {
  const created = await streamCreated(bus, stream)
  const after = await readThrough(store, stream, created)
  const position = { created, sequence: after }
  const over = new AbortController()
  // What the replica before was asked and had not answered.
  if (stream === 'RUNS' && memory)
    memory.take(bus, await openCalls(store, memoryTools, new Date(Date.now() - memoryFreshMs)), signal)
  if (stream === 'RUNS') void sayPosition(bus, position, log, AbortSignal.any([signal, over.signal]))
  const progress = new Progress(stream)
  try {
    await carry()
  } finally {
    progress.close()
    over.abort()
  }
  // Whoever reads ends for this reason alone, unless it was told to.
  if (!signal.aborted) throw new ClawError('unavailable', `the stream ${stream} was made anew, or the bus is closed`)

  async function carry(): Promise<void> {
    const reading = AbortSignal.any([signal, over.signal])
    for await (const messages of gather(await tail(bus, { stream, subject, after, created, signal: reading }))) {
      const entries: RecordEntry[] = []
      const setAside: SetAside[] = []
      progress.read(messages)
      for (const message of messages) {
        try {
          entries.push(recordEntry(stream, message))
        } catch (error) {
          setAside.push(asideOf(message, error))
          log.error({ stream, sequence: message.sequence, subject: message.subject }, 'record entry set aside')
        }
      }
      const through = (messages.at(-1) ?? messages[0]).sequence
      const stored = projectionSeconds.time()
      const refused = await project(store, { stream, created, entries, setAside, through })
      stored({ stream })
      progress.kept(withoutRefused(entries, refused), setAside.length + refused.length)
      for (const { sequence, subject, reason } of refused)
        log.error({ stream, sequence, subject, reason }, 'record entry set aside')
      position.sequence = through
      // After what was said before stands in the database, and before anything later is read.
      await answerHistory(store, bus, entries, { signal }).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ error: errorMessage(error) }, 'history not answered')
      })
      memory?.take(bus, entries, signal)
    }
  }
}

function withoutRefused(entries: readonly RecordEntry[], refused: readonly SetAside[]): readonly RecordEntry[] {
  if (refused.length === 0) return entries
  const sequences = new Set(refused.map(({ sequence }) => sequence))
  return entries.filter(({ sequence }) => !sequences.has(sequence))
}

/** Tells the bus how far RUNS is kept, once a second where that moved: until then no run is forgotten there. */
async function sayPosition(
  bus: Bus,
  position: { created: string; sequence: number },
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  let said = { sequence: -1, at: 0 }
  const unwatch = projectionUntold.watch({}, () => Math.max(0, position.sequence - Math.max(0, said.sequence)))
  signal.addEventListener('abort', unwatch, { once: true })
  while (!signal.aborted) {
    const { created, sequence } = position
    if (sequence !== said.sequence || performance.now() - said.at > sayAgainMs) {
      try {
        await storeKept(bus, { created, sequence })
        said = { sequence, at: performance.now() }
      } catch (error) {
        if (!signal.aborted) log.debug({ error: errorMessage(error) }, 'how far the record is kept was not said')
      }
    }
    await sleep(retryMs, undefined, { signal }).catch(() => {})
  }
}

function asideOf(message: BusMessage, error: unknown): SetAside {
  const { sequence, subject, bytes: body, at } = message
  return { sequence, subject, body, at, reason: errorMessage(error) }
}
