/**
 * What a process says, in bounded memory: the beginning and the end of it, because errors stand at the end and what
 * led to them at the beginning.
 */
export class Capture {
  readonly #half: number
  #head: Buffer[] = []
  #headBytes = 0
  #tail: Buffer[] = []
  #tailBytes = 0
  #dropped = false

  /** Keeps up to `max` bytes. */
  constructor(max: number) {
    this.#half = max >> 1
  }

  add(chunk: Buffer): void {
    const room = this.#half - this.#headBytes
    const first = chunk.subarray(0, Math.max(0, room))
    if (first.length > 0) this.#head.push(first)
    this.#headBytes += first.length
    if (first.length === chunk.length) return
    this.#tail.push(chunk.subarray(first.length))
    this.#tailBytes += chunk.length - first.length
    for (let oldest = this.#tail[0]; oldest && this.#tailBytes - oldest.length >= this.#half; oldest = this.#tail[0]) {
      this.#tail.shift()
      this.#tailBytes -= oldest.length
      this.#dropped = true
    }
  }

  /** The captured text in at most `max` bytes of UTF-8; what is not UTF-8 in it shows as U+FFFD. */
  text(max: number): { text: string; truncated: boolean } {
    const head = Buffer.concat(this.#head)
    const tail = Buffer.concat(this.#tail)
    if (!this.#dropped) return clip(Buffer.concat([head, tail]).toString('utf8'), max)
    return { text: ends(text(wholeStart(head, head.length)), text(wholeEnd(tail, tail.length)), max), truncated: true }
  }
}

/** `whole` in at most `max` bytes of UTF-8: as it is, or its beginning and end with a line between that says so. */
export function clip(whole: string, max: number): { text: string; truncated: boolean } {
  if (Buffer.byteLength(whole) <= max) return { text: whole, truncated: false }
  return { text: ends(whole, whole, max), truncated: true }
}

const gap = '\n[... part of the output is left out ...]\n'

function ends(beginning: string, end: string, max: number): string {
  const half = Math.max(0, max - gap.length) >> 1
  return text(wholeStart(Buffer.from(beginning), half)) + gap + text(wholeEnd(Buffer.from(end), half))
}

/** The longest beginning of at most `max` bytes that does not end inside a character. */
export function wholeStart(bytes: Buffer, max: number): Buffer {
  let end = Math.min(max, bytes.length)
  if (end < bytes.length) while (end > 0 && isContinuation(bytes[end])) end--
  else end -= unfinished(bytes)
  return bytes.subarray(0, end)
}

function wholeEnd(bytes: Buffer, max: number): Buffer {
  let start = Math.max(0, bytes.length - max)
  // No more than a character has of them, so that binary output is not eaten up.
  for (let steps = 0; steps < 3 && start < bytes.length && isContinuation(bytes[start]); steps++) start++
  return bytes.subarray(start)
}

/** How many bytes at the end belong to a character that goes on behind them. */
function unfinished(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (isContinuation(byte)) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? back : 0
  }
  return 0
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}

function text(bytes: Buffer): string {
  return bytes.toString('utf8')
}
