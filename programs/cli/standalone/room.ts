/** Whether there is room on a disk: without it no part of the platform says what the others cannot do for the same reason. */
import { statfsSync } from 'node:fs'

/** With less than this nothing of the platform can go on: a page of the bus and of SQLite is not written any more. */
const leastBytes = 1024 * 1024

/** Milliseconds between two looks. */
const every = 1_000

/** One sentence where the disk under a folder has no room for another file, or nothing. */
export function fullDisk(folder: string): string | undefined {
  const { bavail, bsize, files, ffree } = statfsSync(folder)
  const free = bavail * bsize
  if (free < leastBytes) return `the disk of ${folder} is full: ${Math.floor(free / 1024)} KiB are free`
  // File systems that know no such limit say 0 of 0.
  if (files > 0 && ffree === 0) return `the disk of ${folder} is full: it has no inode left`
  return undefined
}

/** Aborts once the disk is full, until it is disposed of. */
export function untilFull(folder: string): { signal: AbortSignal } & Disposable {
  const full = new AbortController()
  const timer = setInterval(() => {
    if (fullDisk(folder)) full.abort()
  }, every)
  return { signal: full.signal, [Symbol.dispose]: () => clearInterval(timer) }
}
