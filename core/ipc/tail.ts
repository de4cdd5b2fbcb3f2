import { closeSync } from 'node:fs'
import { type Folder, readAt } from './folder.ts'
import { limits } from './limits.ts'

/** How far a file that only grows has been read; kept by the reader so that it resumes after a restart. */
export interface TailCursor {
  /** Which file; empty before there is one. */
  identity: string
  /** Bytes taken. */
  at: number
  /** Whether those end inside a line that is left out for its length. */
  inLongLine: boolean
}

/** Where a tail begins that has read nothing. */
export const tailStart: TailCursor = { identity: '', at: 0, inLongLine: false }

export interface TailBatch {
  /** Whole lines, their newlines left out. */
  lines: Buffer[]
  /** Lines left out because they are longer than the limit. */
  tooLong: number
  /** Where to go on. */
  cursor: TailCursor
  /** Whether there may be more to read at once. */
  more: boolean
}

const batchBytes = 256 * 1024

/**
 * The next lines of an append-only file. Its memory is one batch, whatever the file holds; a file that was replaced or
 * cut is read from its beginning. Nothing is taken from a name that is not a plain file.
 */
export function readTail(folder: Folder, name: string, cursor: TailCursor): TailBatch {
  const file = folder.openFile(name)
  if (typeof file === 'string') return { lines: [], tooLong: 0, cursor, more: false }
  try {
    const same = file.identity === cursor.identity && file.size >= cursor.at
    const start = same ? cursor.at : 0
    const bytes = readAt(file.descriptor, start, Math.max(0, Math.min(batchBytes, file.size - start)))
    return {
      ...takeLines(bytes, file.identity, start, same && cursor.inLongLine),
      more: start + bytes.length < file.size,
    }
  } finally {
    closeSync(file.descriptor)
  }
}

function takeLines(bytes: Buffer, identity: string, start: number, skipping: boolean): Omit<TailBatch, 'more'> {
  const lines: Buffer[] = []
  let tooLong = 0
  let from = 0
  let inLongLine = skipping
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
    if (inLongLine) inLongLine = false
    else if (end - from > limits.eventLineBytes) tooLong++
    else if (end > from) lines.push(bytes.subarray(from, end))
    from = end + 1
  }
  if (inLongLine) from = bytes.length
  else if (bytes.length - from > limits.eventLineBytes) {
    // Its end is not in sight: what there is of it is left out now, so that no more than a batch is ever held.
    from = bytes.length
    inLongLine = true
    tooLong++
  }
  return { lines, tooLong, cursor: { identity, at: start + from, inLongLine } }
}
