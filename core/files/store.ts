import { createHash, randomUUID } from 'node:crypto'
import * as z from 'zod'
import { type Bus, directGet, directGetBytes, publish, publishBytes, subjectCounts } from '#core/bus'
import { ClawError } from '#core/errors'
import { type FileSource, fileSubjects, filesOfNamespace, type RunAddress, runOfChunk } from '#core/identity'
import { type BroughtFile, broughtFile, maxFileBytes, maxFiles } from './words.ts'

/** A sixteenth of what the bus takes as one message: several writers at once leave it room to breathe. */
const chunkBytes = 512 * 1024

/** What a file of this size takes of the store, bytes: it is counted in whole chunks, as the store is. */
export function roomFor(size: number): number {
  return Math.max(Math.ceil(size / chunkBytes), 1) * chunkBytes
}

/** What each run of a namespace has in the store, in the measure of `roomFor`. Throws `unavailable`. */
export async function storedFiles(bus: Bus, namespace: string): Promise<(RunAddress & { bytes: number })[]> {
  const runs = new Map<string, RunAddress & { bytes: number }>()
  for (const subject of (await subjectCounts(bus, 'FILES', filesOfNamespace(namespace))).keys()) {
    const run = runOfChunk(subject)
    if (!run) continue
    const before = runs.get(run.uid)?.bytes ?? 0
    runs.set(run.uid, { ...run, bytes: before + chunkBytes })
  }
  return [...runs.values()]
}

/** Of what a channel was to bring, each in its order. */
const fileList = z.array(broughtFile).max(maxFiles)

/**
 * Stores a file of a run under its hash and returns once all of it is stored; the same again changes nothing. Throws
 * `full`, `too_large`, and as `publish` does.
 */
export async function putFile(
  bus: Bus,
  run: RunAddress,
  from: FileSource,
  bytes: Buffer,
  signal?: AbortSignal,
): Promise<{ sha256: string; size: number }> {
  if (bytes.length > maxFileBytes) throw new ClawError('too_large', `a file of more than ${maxFileBytes} bytes`)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const { chunk } = fileSubjects(run, from)
  for (let index = 0; index * chunkBytes < bytes.length; index++) {
    const part = bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes)
    await publishBytes(bus, chunk(sha256, index), part, { id: randomUUID(), ...(signal && { signal }) })
  }
  return { sha256, size: bytes.length }
}

/**
 * The file of that hash and size. Undefined where it is not there, not whole, or not what its hash says: who stored it
 * is not believed. Throws `unavailable`.
 */
export async function getFile(
  bus: Bus,
  run: RunAddress,
  from: FileSource,
  { sha256, size }: { sha256: string; size: number },
): Promise<Buffer | undefined> {
  if (size > maxFileBytes) return undefined
  const { readChunk } = fileSubjects(run, from)
  const chunks: Uint8Array[] = []
  const hash = createHash('sha256')
  let length = 0
  for (let index = 0; length < size; index++) {
    const chunk = await directGetBytes(bus, readChunk(sha256, index))
    if (!chunk || chunk.length === 0) return undefined
    length += chunk.length
    if (length > size) return undefined
    hash.update(chunk)
    chunks.push(chunk)
  }
  return hash.digest('hex') === sha256 ? Buffer.concat(chunks) : undefined
}

/** Says what became of all files that a channel was to bring; nothing more comes then. */
export async function putFileList(
  bus: Bus,
  run: RunAddress,
  from: FileSource,
  files: readonly BroughtFile[],
  signal?: AbortSignal,
): Promise<void> {
  const { list } = fileSubjects(run, from)
  await publish(bus, list, fileList.parse(files), { id: randomUUID(), ...(signal && { signal }) })
}

/** What became of them; undefined while that is not said. Throws `unavailable`. */
export async function getFileList(bus: Bus, run: RunAddress, from: FileSource): Promise<BroughtFile[] | undefined> {
  return fileList.safeParse(await directGet(bus, fileSubjects(run, from).readList)).data
}
