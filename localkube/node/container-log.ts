/** A container's output: one file per instance, a line each with time and stream, bounded; and its readers. */
import { EventEmitter } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { LogOptions } from '#localkube/api'

/** Two files of this size are kept: the one being written and the one before. */
const rotateBytes = 10 * 1024 * 1024
const longestLine = 16 * 1024

interface Line {
  time: string
  /** Without the final newline where the output had none yet. */
  text: Buffer
}

/** One container instance's log, being written. */
export class ContainerLog {
  readonly #path: string
  readonly #events = new EventEmitter<{ line: [Line]; end: [] }>()
  readonly #pending = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  #file: number
  #bytes = 0
  #lost = 0
  #open = true

  constructor(path: string) {
    this.#path = path
    this.#events.setMaxListeners(0)
    mkdirSync(dirname(path), { recursive: true })
    this.#file = openSync(path, 'a', 0o600)
  }

  write(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    let rest = this.#pending[stream].length > 0 ? Buffer.concat([this.#pending[stream], chunk]) : chunk
    for (;;) {
      const newline = rest.indexOf(10)
      const end = newline >= 0 ? newline + 1 : rest.length >= longestLine ? longestLine : 0
      if (end === 0) break
      this.#append(stream, rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    this.#pending[stream] = Buffer.from(rest)
  }

  /** Writes what had no newline, and tells the readers that nothing follows. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#pending[stream].length > 0) this.#append(stream, this.#pending[stream])
      this.#pending[stream] = Buffer.alloc(0)
    }
    if (!this.#open) return
    this.#open = false
    closeSync(this.#file)
    this.#events.emit('end')
  }

  /** What was written so far and, with follow, what is written until the end of the instance. */
  async *read(options: LogOptions, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const queue: Line[] = []
    let wake = () => {}
    const onLine = (line: Line) => {
      queue.push(line)
      wake()
    }
    const onEnd = () => wake()
    signal.addEventListener('abort', onEnd)
    // Listening starts in the same turn as reading, so no line is lost or doubled between the two.
    this.#events.on('line', onLine).on('end', onEnd)
    try {
      const limit = new Limit(options)
      for (const line of selectLines(readLines(this.#path), options)) yield* limit.pass(line)
      while (options.follow && !signal.aborted && !limit.reached) {
        const line = queue.shift()
        if (line) yield* limit.pass(line)
        else if (!this.#open) return
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      this.#events.off('line', onLine).off('end', onEnd)
      signal.removeEventListener('abort', onEnd)
    }
  }

  #append(stream: string, text: Buffer): void {
    const time = new Date().toISOString()
    const whole = text.at(-1) === 10
    const record = Buffer.concat([
      Buffer.from(`${time} ${stream} ${whole ? 'F' : 'P'} `),
      text,
      Buffer.from(whole ? '' : '\n'),
    ])
    this.#keep(record, time)
    this.#events.emit('line', { time, text: Buffer.from(text) })
  }

  /** A disk that is full costs lines of the log, which is said where it goes on, and never the node. */
  #keep(record: Buffer, time: string): void {
    const missing = this.#lost === 0 ? '' : `\n${time} stderr F (${this.#lost} lines could not be kept)\n`
    const bytes = Buffer.concat([Buffer.from(missing), record])
    try {
      if (this.#bytes + bytes.length > rotateBytes) this.#rotate()
      const written = writeSync(this.#file, bytes)
      this.#bytes += written
      this.#lost = written < bytes.length ? this.#lost + 1 : 0
    } catch {
      this.#lost += 1
    }
  }

  #rotate(): void {
    if (existsSync(this.#path)) renameSync(this.#path, `${this.#path}.1`)
    const next = openSync(this.#path, 'a', 0o600)
    closeSync(this.#file)
    this.#file = next
    this.#bytes = 0
  }
}

/** Reads the log of an instance that has ended. */
export function* readEnded(path: string, options: LogOptions): Iterable<Uint8Array> {
  const limit = new Limit(options)
  for (const line of selectLines(readLines(path), options)) yield* limit.pass(line)
}

export function removeLog(path: string): void {
  rmSync(path, { force: true })
  rmSync(`${path}.1`, { force: true })
}

function readLines(path: string): Line[] {
  const lines: Line[] = []
  for (const file of [`${path}.1`, path]) {
    if (!existsSync(file)) continue
    const bytes = readFileSync(file)
    for (let start = 0; start < bytes.length; ) {
      const newline = bytes.indexOf(10, start)
      const end = newline < 0 ? bytes.length : newline
      const line = parseLine(bytes.subarray(start, end))
      if (line) lines.push(line)
      start = end + 1
    }
  }
  return lines
}

/** `<time> <stream> F|P <text>`; P is a piece of a line that goes on. */
function parseLine(record: Buffer): Line | undefined {
  const timeEnd = record.indexOf(32)
  const streamEnd = record.indexOf(32, timeEnd + 1)
  if (timeEnd < 0 || streamEnd < 0) return undefined
  const text = record.subarray(streamEnd + 3)
  const whole = record[streamEnd + 1] === 70
  return { time: record.toString('latin1', 0, timeEnd), text: whole ? Buffer.concat([text, Buffer.from('\n')]) : text }
}

function selectLines(lines: Line[], { sinceSeconds, tailLines }: LogOptions): Line[] {
  const since = sinceSeconds === undefined ? undefined : new Date(Date.now() - sinceSeconds * 1000).toISOString()
  const recent = since === undefined ? lines : lines.filter((line) => line.time >= since)
  if (tailLines === undefined) return recent
  return tailLines === 0 ? [] : recent.slice(-tailLines)
}

/** Formats lines and stops at limitBytes. */
class Limit {
  readonly #timestamps: boolean
  #left: number

  constructor({ timestamps, limitBytes }: LogOptions) {
    this.#timestamps = timestamps ?? false
    this.#left = limitBytes ?? Number.POSITIVE_INFINITY
  }

  get reached(): boolean {
    return this.#left <= 0
  }

  *pass({ time, text }: Line): Iterable<Uint8Array> {
    if (this.reached) return
    const bytes = this.#timestamps ? Buffer.concat([Buffer.from(`${time} `), text]) : text
    yield bytes.subarray(0, Math.min(bytes.length, this.#left))
    this.#left -= bytes.length
  }
}
