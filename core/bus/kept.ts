import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { type RunAddress, runSubjects } from '#core/identity'
import type { Bus } from './bus.ts'
import { publish } from './publish.ts'
import { lastMessage, streamCreated } from './tail.ts'

const stream = 'KV_kept'
const key = '$KV.kept.RUNS'
const writeMs = 5_000

const position = z.object({ created: z.string(), sequence: z.number() })
/** How far the stream RUNS, made at `created`, has been taken. */
export type Kept = z.infer<typeof position>

/** Says how far the record is kept elsewhere. Throws `unavailable`. */
export async function storeKept(bus: Bus, kept: Kept): Promise<void> {
  await publish(bus, key, kept, { id: randomUUID(), signal: AbortSignal.timeout(writeMs) })
}

/**
 * Whether the bus may forget this run: nobody keeps the record elsewhere, or whoever does has all of this run. Throws
 * `unavailable`.
 */
export async function isKept(bus: Bus, run: RunAddress): Promise<boolean> {
  const said = position.safeParse((await lastMessage(bus, stream, key))?.value)
  if (!said.success) return true
  const last = await lastMessage(bus, 'RUNS', runSubjects(run).record)
  if (!last) return true
  return last.sequence <= said.data.sequence && (await streamCreated(bus, 'RUNS')) === said.data.created
}
